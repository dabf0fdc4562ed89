//! One layer of a decoder: attention and a gated feed-forward network, with norms before them and after them.

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Int, Tensor};

use crate::kernels::ops::{Gate, gated};
use crate::nn::decoder::attention::Attention;
use crate::nn::decoder::cache::KvCache;
use crate::nn::decoder::config::DecoderConfig;
use crate::nn::decoder::pass::{Carried, Pass};
use crate::nn::decoder::per_layer::PerLayerInput;
use crate::nn::layers::linear::Linear;
use crate::nn::layers::lora::Projection;
use crate::nn::layers::norm::RmsNorm;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

#[derive(Module, Debug)]
pub(crate) struct DecoderLayer {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    /// Without post-norms it stands before the feed-forward network, with them behind attention; both are called so in files.
    post_attention_layernorm: RmsNorm,
    /// Before the feed-forward network and behind it.
    feedforward_layernorms: Option<[RmsNorm; 2]>,
    per_layer_input: Option<PerLayerInput>,
    layer_scalar: Option<Weight<1>>,
}

impl DecoderLayer {
    pub(crate) fn new(config: &DecoderConfig, layer_idx: usize, device: &Device) -> Self {
        let norm = || config.norm(config.hidden_size, device);
        let one = || Weight::init(&Initializer::Ones, [1], device);
        Self {
            self_attn: Attention::new(config, layer_idx, device),
            mlp: Mlp::new(config, layer_idx, device),
            input_layernorm: norm(),
            post_attention_layernorm: norm(),
            feedforward_layernorms: config.post_norms.then(|| [norm(), norm()]),
            per_layer_input: (config.hidden_size_per_layer_input > 0)
                .then(|| PerLayerInput::new(config, layer_idx, device)),
            layer_scalar: config.layer_scalar.then(one),
        }
    }

    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - wanted: `[n]`, the tokens that a result is wanted for, if not all, counted through the batch
    /// - output: that of hidden, or `[1, n, hidden_size]`
    pub(crate) fn forward(
        &self,
        hidden: Tensor<3>,
        pass: &Pass,
        carried: &mut Carried,
        mut cache: Option<(usize, &mut KvCache)>,
        wanted: Option<&Tensor<1, Int>>,
    ) -> Tensor<3> {
        let pick = |x: Tensor<3>| match wanted {
            Some(tokens) => x.flatten::<2>(0, 1).select(0, tokens.clone()).unsqueeze(),
            None => x,
        };
        if let Some((layer_idx, cache)) = &mut cache
            && let Some(hidden) = self.step(&hidden, pass, *layer_idx, cache)
        {
            return pick(hidden);
        }
        let normed = self.input_layernorm.forward(hidden.clone());
        let attended = pick(self.self_attn.forward(normed, pass, carried, cache));
        let attended = self.self_attn.o_proj.forward(attended);
        let hidden = pick(hidden);
        let mut hidden = match &self.feedforward_layernorms {
            None => {
                let hidden = hidden + attended;
                let normed = self.post_attention_layernorm.forward(hidden.clone());
                hidden + self.mlp.forward(normed)
            }
            Some([before, behind]) => {
                let hidden = hidden + self.post_attention_layernorm.forward(attended);
                let fed = self.mlp.forward(before.forward(hidden.clone()));
                hidden + behind.forward(fed)
            }
        };
        if let (Some(own), Some(inputs)) = (&self.per_layer_input, &pass.per_layer) {
            hidden = own.add(hidden, inputs, pick);
        }
        match &self.layer_scalar {
            Some(scalar) => hidden * scalar.val().reshape([1, 1, 1]),
            None => hidden,
        }
    }

    /// Runs the layer for one new token per row with a cache, if the device has kernels for it.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    fn step(
        &self,
        hidden: &Tensor<3>,
        pass: &Pass,
        layer_idx: usize,
        cache: &mut KvCache,
    ) -> Option<Tensor<3>> {
        use crate::kernels::cube::decode_step::{Step, StepForm, step, supports};
        let attention = &self.self_attn;
        if hidden.dims()[1] != 1
            || hidden.is_tracked()
            || !attention.is_plain()
            || self.mlp.gate != Gate::GeluTanh
            || self.feedforward_layernorms.is_some()
            || self.per_layer_input.is_some()
            || self.layer_scalar.is_some()
            || !supports(&hidden.device(), attention.head_dim)
        {
            return None;
        }
        let dense = |projection: Option<&Linear>| match projection?.dense()? {
            (weight, None) => Some(weight),
            (_, Some(_)) => None,
        };
        let projections = Projection::ALL.map(|projection| dense(self.projection(projection)));
        let [query, key, value, output, gate, up, down] = projections;
        let projections = [query?, key?, value?, output?, gate?, up?, down?];
        let (input_norm, eps) = self.input_layernorm.parts()?;
        let (post_attention_norm, _) = self.post_attention_layernorm.parts()?;
        // The kernels read all of them as one dtype.
        let norms = [&input_norm, &post_attention_norm].map(Tensor::dtype);
        let mut dtypes = projections.iter().map(Tensor::dtype).chain(norms);
        if !dtypes.all(|dtype| dtype == hidden.dtype()) {
            return None;
        }
        cache.step(layer_idx, |storage, column| {
            let input = Step {
                hidden: hidden.clone(),
                norms: [input_norm, post_attention_norm],
                projections,
                rope: pass.sight(attention.layer_type()).rope.angles(),
                positions: pass.positions.clone(),
                storage,
            };
            let form = StepForm {
                heads: attention.heads,
                kv_heads: attention.kv_heads,
                head_dim: attention.head_dim,
                eps,
                column,
            };
            step(input, form)
        })
    }

    #[cfg(not(any(feature = "cuda", feature = "vulkan")))]
    fn step(&self, _: &Tensor<3>, _: &Pass, _: usize, _: &mut KvCache) -> Option<Tensor<3>> {
        None
    }

    /// Goes through the projections that the layer has, in the order of [`Projection::ALL`].
    pub(crate) fn projections(&self) -> impl Iterator<Item = (Projection, &Linear)> {
        let named = |projection| Some((projection, self.projection(projection)?));
        Projection::ALL.into_iter().filter_map(named)
    }

    fn projection(&self, projection: Projection) -> Option<&Linear> {
        let (attention, mlp) = (&self.self_attn, &self.mlp);
        match projection {
            Projection::Query => Some(&attention.q_proj),
            Projection::Key => attention.keys.as_ref().map(|keys| &keys.k_proj),
            Projection::Value => attention.keys.as_ref()?.v_proj.as_ref(),
            Projection::Output => Some(&attention.o_proj),
            Projection::Gate => Some(&mlp.gate_proj),
            Projection::Up => Some(&mlp.up_proj),
            Projection::Down => Some(&mlp.down_proj),
        }
    }

    /// The same to change them.
    pub(crate) fn projections_mut(&mut self) -> impl Iterator<Item = (Projection, &mut Linear)> {
        let (attention, mlp) = (&mut self.self_attn, &mut self.mlp);
        let (key, value) = match &mut attention.keys {
            Some(keys) => (Some(&mut keys.k_proj), keys.v_proj.as_mut()),
            None => (None, None),
        };
        let all = [
            (Projection::Query, Some(&mut attention.q_proj)),
            (Projection::Key, key),
            (Projection::Value, value),
            (Projection::Output, Some(&mut attention.o_proj)),
            (Projection::Gate, Some(&mut mlp.gate_proj)),
            (Projection::Up, Some(&mut mlp.up_proj)),
            (Projection::Down, Some(&mut mlp.down_proj)),
        ];
        all.into_iter()
            .filter_map(|(projection, linear)| Some((projection, linear?)))
    }
}

impl Weights for DecoderLayer {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        for (projection, linear) in self.projections_mut() {
            let name = format!("{}.{}", projection.part(), projection.name());
            linear.weights(&join(prefix, &name), visit);
        }
        let attention = join(prefix, "self_attn");
        let norms = [
            (join(&attention, "q_norm"), self.self_attn.q_norm.as_mut()),
            (
                join(&attention, "k_norm"),
                (self.self_attn.keys.as_mut()).and_then(|keys| keys.k_norm.as_mut()),
            ),
            (
                join(prefix, "input_layernorm"),
                Some(&mut self.input_layernorm),
            ),
            (
                join(prefix, "post_attention_layernorm"),
                Some(&mut self.post_attention_layernorm),
            ),
        ];
        for (name, norm) in norms {
            if let Some(norm) = norm {
                norm.weights(&name, visit);
            }
        }
        if let Some(norms) = &mut self.feedforward_layernorms {
            let names = ["pre_feedforward_layernorm", "post_feedforward_layernorm"];
            for (name, norm) in names.into_iter().zip(norms) {
                norm.weights(&join(prefix, name), visit);
            }
        }
        if let Some(own) = &mut self.per_layer_input {
            own.weights(prefix, visit);
        }
        if let Some(scalar) = &mut self.layer_scalar {
            visit(&join(prefix, "layer_scalar"), WeightMut::Vector(scalar));
        }
    }
}

#[derive(Module, Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    #[module(skip)]
    gate: Gate,
}

impl Mlp {
    fn new(config: &DecoderConfig, layer_idx: usize, device: &Device) -> Self {
        let inner = config.layer(layer_idx).intermediate_size;
        let linear = |input, output| {
            let std = config.initializer_range;
            Linear::new(input, output, config.mlp_bias, std, device)
        };
        Self {
            gate_proj: linear(config.hidden_size, inner),
            up_proj: linear(config.hidden_size, inner),
            down_proj: linear(inner, config.hidden_size),
            gate: config.hidden_act.gate().unwrap_or(Gate::GeluTanh),
        }
    }

    fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let gate = self.gate_proj.forward(hidden.clone());
        let up = self.up_proj.forward(hidden);
        self.down_proj.forward(gated(gate, up, self.gate))
    }
}
