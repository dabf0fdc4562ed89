//! One layer of Gemma: attention and a gated feed-forward network, each after a norm.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use crate::kernels::ops::gated_gelu;
use crate::nn::decoder::cache::KvCache;
use crate::nn::decoder::config::GemmaConfig;
use crate::nn::decoder::input::GemmaInput;
use crate::nn::layers::attention::{Attend, attention_behind, grouped_query_attention};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::lora::Projection;
use crate::nn::layers::norm::RmsNorm;
use crate::nn::layers::rope::Rope;
use crate::nn::layers::weight::{WeightMut, Weights, join};

/// Inputs that all layers of a forward pass share.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) input: GemmaInput,
    pub(crate) rope: Rope,
    /// `[n]`, the tokens that the last layer gives a result for, if not all, counted through the batch.
    pub(crate) wanted: Option<Tensor<1, Int>>,
}

#[derive(Module, Debug)]
pub(crate) struct DecoderLayer {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
}

impl DecoderLayer {
    pub(crate) fn new(config: &GemmaConfig, device: &Device) -> Self {
        let norm = || RmsNorm::new(config.hidden_size, config.rms_norm_eps, device);
        Self {
            self_attn: Attention::new(config, device),
            mlp: Mlp::new(config, device),
            input_layernorm: norm(),
            post_attention_layernorm: norm(),
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
        let attended = pick(self.self_attn.forward(normed, pass, cache));
        let hidden = pick(hidden) + self.self_attn.o_proj.forward(attended);
        let normed = self.post_attention_layernorm.forward(hidden.clone());
        hidden + self.mlp.forward(normed)
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
            || !supports(&hidden.device(), attention.head_dim)
        {
            return None;
        }
        let dense = |projection: &Linear| match projection.dense()? {
            (weight, None) => Some(weight),
            (_, Some(_)) => None,
        };
        let [query, key, value, output, gate, up, down] = self.projections().map(dense);
        let projections = [query?, key?, value?, output?, gate?, up?, down?];
        let (input_norm, eps) = self.input_layernorm.parts();
        let (post_attention_norm, _) = self.post_attention_layernorm.parts();
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
                rope: pass.rope.angles(),
                positions: pass.input.positions.clone(),
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
}

impl DecoderLayer {
    /// How many numbers a token leaves in a cache.
    pub(crate) fn cached(&self) -> usize {
        2 * self.self_attn.kv_heads * self.self_attn.head_dim
    }

    /// How many numbers a training step keeps of a token in a sequence of `seq`: both norms' inputs and outputs, queries,
    /// keys and values, attention weights, what the heads see, and the gate, its partner and their product.
    pub(crate) fn activations(&self, seq: usize) -> usize {
        let attention = &self.self_attn;
        let [intermediate_size, hidden_size] = self.mlp.gate_proj.shape();
        let heads = 2 * attention.heads * attention.head_dim + self.cached();
        4 * hidden_size + heads + attention.heads * seq + 3 * intermediate_size
    }

    /// How many numbers the weights hold, without LoRA factors.
    pub(crate) fn num_weights(&self) -> usize {
        let projections = self.projections().map(Linear::num_weights);
        let norms = [&self.input_layernorm, &self.post_attention_layernorm];
        projections.iter().sum::<usize>() + norms.map(RmsNorm::num_weights).iter().sum::<usize>()
    }

    /// The seven projections, in the order of [`Projection::ALL`].
    pub(crate) fn projections_mut(&mut self) -> [&mut Linear; 7] {
        let (attention, mlp) = (&mut self.self_attn, &mut self.mlp);
        [
            &mut attention.q_proj,
            &mut attention.k_proj,
            &mut attention.v_proj,
            &mut attention.o_proj,
            &mut mlp.gate_proj,
            &mut mlp.up_proj,
            &mut mlp.down_proj,
        ]
    }

    /// The seven projections, in the order of [`Projection::ALL`].
    pub(crate) fn projections(&self) -> [&Linear; 7] {
        let (attention, mlp) = (&self.self_attn, &self.mlp);
        [
            &attention.q_proj,
            &attention.k_proj,
            &attention.v_proj,
            &attention.o_proj,
            &mlp.gate_proj,
            &mlp.up_proj,
            &mlp.down_proj,
        ]
    }
}

impl Weights for DecoderLayer {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        for (projection, linear) in Projection::ALL.into_iter().zip(self.projections_mut()) {
            let part = match projection {
                Projection::Query | Projection::Key | Projection::Value | Projection::Output => {
                    "self_attn"
                }
                Projection::Gate | Projection::Up | Projection::Down => "mlp",
            };
            let name = join(prefix, &format!("{part}.{}", projection.name()));
            linear.weights(&name, visit);
        }
        self.input_layernorm
            .weights(&join(prefix, "input_layernorm"), visit);
        self.post_attention_layernorm
            .weights(&join(prefix, "post_attention_layernorm"), visit);
    }
}

#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Attention {
    fn new(config: &GemmaConfig, device: &Device) -> Self {
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let linear =
            |input, output| Linear::new(input, output, false, config.initializer_range, device);
        Self {
            q_proj: linear(config.hidden_size, heads * config.head_dim),
            k_proj: linear(config.hidden_size, kv_heads * config.head_dim),
            v_proj: linear(config.hidden_size, kv_heads * config.head_dim),
            o_proj: linear(heads * config.head_dim, config.hidden_size),
            heads,
            kv_heads,
            head_dim: config.head_dim,
        }
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
        cache: Option<(usize, &mut KvCache)>,
    ) -> Tensor<3> {
        let rope = &pass.rope;
        let [batch, seq, _] = hidden.dims();
        let query = rope.split(self.q_proj.forward(hidden.clone()), self.heads);
        let key = rope.split(self.k_proj.forward(hidden.clone()), self.kv_heads);
        let value = self
            .v_proj
            .forward(hidden)
            .reshape([batch, seq, self.kv_heads, self.head_dim])
            .swap_dims(1, 2);
        let attend = |(key, value)| Attend {
            query,
            key,
            value,
            mask: pass.input.mask.clone(),
        };
        let output = match cache {
            Some((layer_idx, cache)) => {
                let input = attend(cache.append(layer_idx, key, value));
                attention_behind(input, || cache.prompts())
            }
            None => grouped_query_attention(attend((key, value))),
        };
        output
            .swap_dims(1, 2)
            .reshape([batch, seq, self.heads * self.head_dim])
    }
}

#[derive(Module, Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    fn new(config: &GemmaConfig, device: &Device) -> Self {
        let linear =
            |input, output| Linear::new(input, output, false, config.initializer_range, device);
        Self {
            gate_proj: linear(config.hidden_size, config.intermediate_size),
            up_proj: linear(config.hidden_size, config.intermediate_size),
            down_proj: linear(config.intermediate_size, config.hidden_size),
        }
    }

    fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let gate = self.gate_proj.forward(hidden.clone());
        self.down_proj
            .forward(gated_gelu(gate, self.up_proj.forward(hidden)))
    }
}
