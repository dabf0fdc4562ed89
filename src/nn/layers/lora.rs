//! The low-rank factors of LoRA (Hu et al., arXiv 2106.09685), with PEFT's initialisation and scaling.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Tensor};

use crate::kernels::ops::{lora_linear, low_rank};
use crate::nn::layers::weight::Weight;

/// One of the seven projections of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    /// `q_proj`
    Query,
    /// `k_proj`
    Key,
    /// `v_proj`
    Value,
    /// `o_proj`
    Output,
    /// `gate_proj`
    Gate,
    /// `up_proj`
    Up,
    /// `down_proj`
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

    /// The name of the module in Hugging Face's checkpoints.
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

    /// The projection of that name.
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
    /// Which projections get factors, PEFT's `target_modules`, by name.
    #[config(default = "Projection::ALL.map(|p| p.name().to_string()).to_vec()")]
    pub target_modules: Vec<String>,
}

impl LoraConfig {
    /// What the low-rank path is multiplied by.
    pub fn scaling(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// Fresh factors for a projection of `[out_features, in_features]` on `device`'s autodiff side.
    pub fn init(&self, out_features: usize, in_features: usize, device: &Device) -> Lora {
        let device = device.clone().autodiff();
        // PEFT's kaiming_uniform(a = √5) over fan-in is U(−1/√in, 1/√in).
        let bound = 1.0 / (in_features as f64).sqrt();
        let uniform = Initializer::Uniform {
            min: -bound,
            max: bound,
        };
        Lora {
            lora_a: uniform.init([self.rank, in_features], &device),
            lora_b: Initializer::Zeros.init([out_features, self.rank], &device),
            scaling: self.scaling(),
        }
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

    /// Keeps and trains the factors, and an optimizer's moments of them, in another dtype.
    pub fn cast(&mut self, dtype: DType) {
        for factor in [&mut self.lora_a, &mut self.lora_b] {
            let value = factor.val().without_autodiff().cast(dtype);
            *factor = Param::initialized(factor.id, value.autodiff().require_grad());
        }
    }
}
