//! One layer of a decoder: attention and a gated feed-forward network, with norms before them and after them.

use burn::module::{Initializer, Module};
use burn::tensor::{Bool, Device, Int, Tensor};

use crate::kernels::ops::{self, Gate, NormScale, Scores, SharedPrompt, gated};
use crate::nn::decoder::cache::KvCache;
use crate::nn::decoder::config::{DecoderConfig, KeysAndValues, LayerType};
use crate::nn::layers::attention::Attend;
use crate::nn::layers::linear::Linear;
use crate::nn::layers::lora::Projection;
use crate::nn::layers::norm::RmsNorm;
use crate::nn::layers::rope::Rope;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// Inputs that all layers of a forward pass share.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// `[batch, seq]`
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(crate) positions: Tensor<2, Int>,
    /// What the layers of each type see; none of a type that no layer has.
    pub(crate) sights: [Option<Sight>; 2],
    /// What each layer adds for each token, if the model has such embeddings, `[batch, seq, layers, size]`.
    pub(crate) per_layer: Option<Tensor<4>>,
    /// `[n]`, the tokens that the last layer gives a result for, if not all, counted through the batch.
    pub(crate) wanted: Option<Tensor<1, Int>>,
}

/// What the layers of one type see.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) rope: Rope,
    /// `[batch, 1, seq, keys]`, true where attention is forbidden
    pub(crate) mask: Tensor<4, Bool>,
}

impl Pass {
    fn sight(&self, layer_type: LayerType) -> &Sight {
        let sight = self.sights[layer_type as usize].as_ref();
        sight.expect("a pass has what each layer of its model sees")
    }
}

/// Keys and values of layers that later ones use, too, by the type of the layer.
pub(crate) type Carried = [Option<[Tensor<4>; 2]>; 2];

#[derive(Module, Debug)]
pub(crate) struct DecoderLayer {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    /// Before the feed-forward network or, if that has norms of its own, behind attention.
    post_attention_layernorm: RmsNorm,
    /// Before the feed-forward network and behind it.
    feedforward_layernorms: Option<[RmsNorm; 2]>,
    per_layer_input: Option<PerLayerInput>,
    layer_scalar: Option<Weight<1>>,
}

impl DecoderLayer {
    pub(crate) fn new(config: &DecoderConfig, layer_idx: usize, device: &Device) -> Self {
        let norm = || norm(config, config.hidden_size, device);
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
            || self.mlp.gate() != Gate::GeluTanh
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

    /// The type of the layer, if later ones use its keys and values.
    #[cfg(feature = "pipeline")]
    pub(crate) fn lends(&self) -> Option<LayerType> {
        let attention = &self.self_attn;
        attention.lends.then(|| attention.layer_type())
    }

    /// The type of the layer, if it uses keys and values of another.
    #[cfg(feature = "pipeline")]
    pub(crate) fn borrows(&self) -> Option<LayerType> {
        let attention = &self.self_attn;
        attention.keys.is_none().then(|| attention.layer_type())
    }

    /// How many numbers a token leaves in a cache.
    pub(crate) fn cached(&self) -> usize {
        let attention = &self.self_attn;
        let numbers = 2 * attention.kv_heads * attention.head_dim;
        attention.keys.as_ref().map_or(0, |_| numbers)
    }

    /// How many numbers a training step keeps of a token in a sequence of `seq`: the norms' inputs and outputs, queries,
    /// keys and values, attention weights, what the heads see, and the gate, its partner and their product.
    pub(crate) fn activations(&self, seq: usize) -> usize {
        let attention = &self.self_attn;
        let [intermediate_size, hidden_size] = self.mlp.gate_proj.shape();
        let norms = if self.feedforward_layernorms.is_some() {
            8
        } else {
            4
        };
        let heads = 2 * attention.heads * attention.head_dim + self.cached();
        norms * hidden_size + heads + attention.heads * seq + 3 * intermediate_size
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

/// A norm over the last `size` numbers, as the model's others are.
pub(super) fn norm(config: &DecoderConfig, size: usize, device: &Device) -> RmsNorm {
    RmsNorm::new(size, config.norm_scale, config.rms_norm_eps, device)
}

#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    q_norm: Option<RmsNorm>,
    /// None if keys and values are those of an earlier layer.
    keys: Option<Keys>,
    o_proj: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f64,
    softcap: Option<f64>,
    /// How many tokens it sees, if not all.
    window: Option<usize>,
    /// Whether later layers use keys and values of this one.
    lends: bool,
}

/// What makes keys and values.
#[derive(Module, Debug)]
struct Keys {
    k_proj: Linear,
    /// None if the keys are the values, too.
    v_proj: Option<Linear>,
    k_norm: Option<RmsNorm>,
    /// What is added to the mean square of a value, if values are normalized.
    v_norm_eps: Option<f64>,
}

impl Attention {
    fn new(config: &DecoderConfig, layer_idx: usize, device: &Device) -> Self {
        let (shape, heads) = (config.layer(layer_idx), config.num_attention_heads);
        let (kv_heads, head_dim) = (shape.kv_heads, shape.head_dim);
        let linear = |input, output, bias| {
            Linear::new(input, output, bias, config.initializer_range, device)
        };
        let project = |heads| linear(config.hidden_size, heads * head_dim, config.qkv_bias);
        let norm = || config.qk_norm.then(|| norm(config, head_dim, device));
        let keys = || Keys {
            k_proj: project(kv_heads),
            v_proj: (shape.keys_and_values == KeysAndValues::Own).then(|| project(kv_heads)),
            k_norm: norm(),
            v_norm_eps: config.v_norm.then_some(config.rms_norm_eps),
        };
        Self {
            q_proj: project(heads),
            q_norm: norm(),
            keys: (shape.keys_and_values != KeysAndValues::Shared).then(keys),
            o_proj: linear(heads * head_dim, config.hidden_size, config.output_bias),
            heads,
            kv_heads,
            head_dim,
            scale: config.attention_scale(head_dim),
            softcap: config.attn_logit_softcapping,
            window: (shape.layer_type == LayerType::SlidingAttention)
                .then_some(config.sliding_window),
            lends: config.is_shared(layer_idx),
        }
    }

    fn layer_type(&self) -> LayerType {
        match self.window {
            Some(_) => LayerType::SlidingAttention,
            None => LayerType::FullAttention,
        }
    }

    /// Whether it is the attention of Gemma 1.
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    fn is_plain(&self) -> bool {
        let has_own = |keys: &Keys| keys.k_norm.is_none() && keys.v_norm_eps.is_none();
        self.q_norm.is_none()
            && self.keys.as_ref().is_some_and(has_own)
            && self.scale == (self.head_dim as f64).powf(-0.5)
            && self.softcap.is_none()
            && self.window.is_none()
            && !self.lends
    }

    /// Computes the output of the heads, before `o_proj`.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - output: `[batch, seq, heads · head_dim]`
    fn forward(
        &self,
        hidden: Tensor<3>,
        pass: &Pass,
        carried: &mut Carried,
        cache: Option<(usize, &mut KvCache)>,
    ) -> Tensor<3> {
        let layer_type = self.layer_type();
        let Sight { rope, mask } = pass.sight(layer_type);
        let [batch, seq, _] = hidden.dims();
        let normed = |x: Tensor<3>, norm: &Option<RmsNorm>, heads| match norm {
            Some(norm) => norm.forward_heads(x, heads),
            None => x,
        };
        let query = normed(
            self.q_proj.forward(hidden.clone()),
            &self.q_norm,
            self.heads,
        );
        let query = rope.split(query, self.heads);
        let shared = &mut carried[layer_type as usize];
        let ([key, value], cache) = match (&self.keys, cache) {
            (None, cache) => {
                let lent = shared.clone();
                let lent = lent.expect("a layer that uses another's keys comes behind it");
                (lent, cache.map(|(_, cache)| &*cache))
            }
            (Some(keys), cache) => {
                let key = keys.k_proj.forward(hidden.clone());
                let value = match &keys.v_proj {
                    Some(v_proj) => v_proj.forward(hidden),
                    None => key.clone(),
                };
                let key = rope.split(normed(key, &keys.k_norm, self.kv_heads), self.kv_heads);
                let own = [key, self.split_values(value, keys.v_norm_eps)];
                match cache {
                    Some((layer_idx, cache)) => {
                        let seen = cache.append(layer_idx, own, self.window);
                        (seen, Some(&*cache))
                    }
                    None => (own, None),
                }
            }
        };
        if self.lends {
            *shared = Some([key.clone(), value.clone()]);
        }
        // Of a cache a layer with a window has the last columns alone.
        let ([_, _, _, columns], [_, _, keys, _]) = (mask.dims(), key.dims());
        let missing = columns - keys;
        let mask = match missing {
            0 => mask.clone(),
            missing => mask.clone().narrow(3, missing, keys),
        };
        let input = Attend {
            query,
            key,
            value,
            mask,
        };
        let scores = Scores {
            scale: self.scale,
            softcap: self.softcap,
        };
        let output = ops::attention(input, scores, || match cache {
            Some(cache) => cache.prompts(missing),
            None => (0..batch).map(SharedPrompt::none).collect(),
        });
        output
            .swap_dims(1, 2)
            .reshape([batch, seq, self.heads * self.head_dim])
    }

    /// Splits values into heads and normalizes each without a weight if `eps` is given.
    ///
    /// # Shapes
    ///
    /// - values: `[batch, seq, kv_heads · head_dim]`
    /// - output: `[batch, kv_heads, seq, head_dim]`
    fn split_values(&self, values: Tensor<3>, eps: Option<f64>) -> Tensor<4> {
        let [batch, seq, _] = values.dims();
        let (heads, head_dim) = (self.kv_heads, self.head_dim);
        let values = match eps {
            Some(eps) => {
                let none = Tensor::zeros([head_dim], (&values.device(), values.dtype()));
                let values = values.reshape([batch, seq * heads, head_dim]);
                ops::rms_norm(values, none, NormScale::OnePlusWeight, eps)
            }
            None => values,
        };
        values
            .reshape([batch, seq, heads, head_dim])
            .swap_dims(1, 2)
    }
}

#[derive(Module, Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    is_silu: bool,
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
            is_silu: config.hidden_act.gate() == Some(Gate::Silu),
        }
    }

    fn gate(&self) -> Gate {
        match self.is_silu {
            true => Gate::Silu,
            false => Gate::GeluTanh,
        }
    }

    fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let gate = self.gate_proj.forward(hidden.clone());
        let up = self.up_proj.forward(hidden);
        self.down_proj.forward(gated(gate, up, self.gate()))
    }
}

/// What a layer adds to the hidden states from its own embedding of each token.
#[derive(Module, Debug)]
struct PerLayerInput {
    per_layer_input_gate: Linear,
    per_layer_projection: Linear,
    post_per_layer_input_norm: RmsNorm,
    layer_idx: usize,
}

impl PerLayerInput {
    fn new(config: &DecoderConfig, layer_idx: usize, device: &Device) -> Self {
        let (hidden, size) = (config.hidden_size, config.hidden_size_per_layer_input);
        let linear =
            |input, output| Linear::new(input, output, false, config.initializer_range, device);
        Self {
            per_layer_input_gate: linear(hidden, size),
            per_layer_projection: linear(size, hidden),
            post_per_layer_input_norm: norm(config, hidden, device),
            layer_idx,
        }
    }

    /// # Shapes
    ///
    /// - hidden and output: `[batch, seq, hidden_size]`
    /// - inputs: `[batch, seq, layers, size]`, of which `pick` takes the tokens that there are hidden states of
    fn add(
        &self,
        hidden: Tensor<3>,
        inputs: &Tensor<4>,
        pick: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let [batch, seq, _, size] = inputs.dims();
        let own = inputs.clone().narrow(2, self.layer_idx, 1);
        let own = pick(own.reshape([batch, seq, size]));
        let gate = self.per_layer_input_gate.forward(hidden.clone());
        let added = self
            .per_layer_projection
            .forward(gated(gate, own, Gate::GeluTanh));
        hidden + self.post_per_layer_input_norm.forward(added)
    }
}

impl Weights for PerLayerInput {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        let name = |name| join(prefix, name);
        self.per_layer_input_gate
            .weights(&name("per_layer_input_gate"), visit);
        self.per_layer_projection
            .weights(&name("per_layer_projection"), visit);
        self.post_per_layer_input_norm
            .weights(&name("post_per_layer_input_norm"), visit);
    }
}
