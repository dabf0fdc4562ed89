//! The low-rank factors of LoRA (Hu et al., arXiv 2106.09685), with PEFT's initialisation and scaling.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{DType, Device, Tensor, assert_shape};

use crate::kernels::ops::{lora_linear, low_rank};
use crate::nn::layers::weight::Weight;

/// One of the seven projections of a decoder layer, by the name it has in checkpoints and in PEFT's `target_modules`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde")]
pub enum Projection {
    /// `q_proj`
    #[serde(rename = "q_proj")]
    Query,
    /// `k_proj`
    #[serde(rename = "k_proj")]
    Key,
    /// `v_proj`
    #[serde(rename = "v_proj")]
    Value,
    /// `o_proj`
    #[serde(rename = "o_proj")]
    Output,
    /// `gate_proj`
    #[serde(rename = "gate_proj")]
    Gate,
    /// `up_proj`
    #[serde(rename = "up_proj")]
    Up,
    /// `down_proj`
    #[serde(rename = "down_proj")]
    Down,
}

impl Projection {
    /// All seven.
    pub const ALL: [Self; 7] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Output,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// Returns the name of the module in Hugging Face's checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Returns the name of the part of a layer that it belongs to.
    pub(crate) fn part(self) -> &'static str {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }

    /// Returns the projection of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|projection| projection.name() == name)
    }
}

/// How LoRA is added to a model.
#[derive(Config, Debug)]
pub struct LoraConfig {
    /// Rank of the two factors, PEFT's `r`.
    pub rank: usize,
    /// Numerator of the scaling `alpha / rank`, PEFT's `lora_alpha`.
    pub alpha: f64,
    /// Which projections get factors, PEFT's `target_modules`; all seven by default.
    #[config(default = "Projection::ALL.to_vec()")]
    pub target_modules: Vec<Projection>,
}

impl LoraConfig {
    /// Returns `alpha / rank`, which the low-rank path is multiplied by.
    pub fn scaling(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// Draws fresh factors for a projection of `[out_features, in_features]`, on the autodiff side of `device`.
    ///
    /// `lora_a` is drawn at once from the device's generator, so the same seed and order of calls give the same
    /// numbers. `lora_b` is zero: fresh factors change no output.
    ///
    /// # Panics
    ///
    /// Panics if the rank is 0.
    pub fn init(&self, out_features: usize, in_features: usize, device: &Device) -> Lora {
        assert!(self.rank > 0, "the rank of LoRA factors must be at least 1");
        let device = device.clone().autodiff();
        // PEFT's kaiming_uniform(a = √5) over fan-in is U(−1/√in, 1/√in).
        let bound = 1.0 / (in_features as f64).sqrt();
        let uniform = Initializer::Uniform {
            min: -bound,
            max: bound,
        };
        let lora = Lora {
            lora_a: uniform.init([self.rank, in_features], &device),
            lora_b: Initializer::Zeros.init([out_features, self.rank], &device),
            scaling: self.scaling(),
        };
        // burn draws on first use, which would leave the order to whoever uses the factors first.
        lora.lora_a.val();
        lora
    }
}

/// Two factors whose product is added to a frozen projection.
#[derive(Module, Debug)]
pub struct Lora {
    /// `[rank, in_features]`, PEFT's `lora_A`.
    pub lora_a: Param<Tensor<2>>,
    /// `[out_features, rank]`, PEFT's `lora_B`.
    pub lora_b: Param<Tensor<2>>,
    /// `alpha / rank`.
    pub scaling: f64,
}

impl Lora {
    /// Factors with these values, as parameters on the autodiff device.
    ///
    /// # Shapes
    ///
    /// - lora_a: `[rank, in_features]`
    /// - lora_b: `[out_features, rank]`
    ///
    /// # Panics
    ///
    /// Panics if the ranks differ.
    pub fn from_factors(lora_a: Tensor<2>, lora_b: Tensor<2>, scaling: f64) -> Self {
        let [rank, _] = lora_a.dims();
        assert_shape!(lora_b, [_, rank]);
        let [lora_a, lora_b] = [lora_a, lora_b].map(|factor| {
            let factor = factor.without_autodiff().autodiff();
            Param::from_tensor(factor.require_grad())
        });
        Self {
            lora_a,
            lora_b,
            scaling,
        }
    }

    /// `x·Wᵀ + scaling · (x·Aᵀ)·Bᵀ`
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in_features]`
    /// - weight: `[out_features, in_features]`
    /// - output: `[rows, out_features]`
    pub(crate) fn linear(&self, x: Tensor<2>, weight: &Weight<2>) -> Tensor<2> {
        if let Some(y) = weight.packed_linear(&x) {
            return y + self.forward(x);
        }
        let (a, b, weight) = (self.lora_a.val(), self.lora_b.val(), weight.val());
        lora_linear(x, weight, a, b, self.scaling)
    }

    /// `scaling · (x·Aᵀ)·Bᵀ`; the product of the factors is never built.
    ///
    /// The factors are f32, as PEFT keeps them, unless they were [cast](Self::cast); `x` is cast to their dtype and the
    /// result back to that of `x`.
    ///
    /// # Shapes
    ///
    /// - x: `[rows, in_features]`
    /// - output: `[rows, out_features]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        low_rank(x, self.lora_a.val(), self.lora_b.val(), self.scaling)
    }

    /// `weight + scaling · B·A` in f32.
    ///
    /// # Shapes
    ///
    /// - weight and output: `[out_features, in_features]`
    pub(crate) fn merged(&self, weight: Tensor<2>) -> Tensor<2> {
        let [a, b] = [&self.lora_a, &self.lora_b].map(|factor| factor.val().without_autodiff());
        let [weight, a, b] = [weight, a, b].map(|x| x.cast(DType::F32));
        weight + b.matmul(a) * self.scaling
    }

    /// Casts the factors to another dtype, in which they are trained from then on; an optimizer's moments follow.
    pub fn cast(&mut self, dtype: DType) {
        for factor in [&mut self.lora_a, &mut self.lora_b] {
            let value = factor.val().without_autodiff().cast(dtype);
            *factor = Param::initialized(factor.id, value.autodiff().require_grad());
        }
    }
}
