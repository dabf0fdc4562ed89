//! A foreign burn module around apc's: a Gemma with LoRA that learns to please a DeBERTa judge's taste in tokens.
//!
//! ```text
//! cargo run --release --manifest-path examples/embed/Cargo.toml
//! ```

use apc::nn::{
    ClassifierInput, Deberta, DebertaConfig, Gemma, GemmaConfig, GemmaInput, LoraConfig, Weights,
};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, activation};

/// Somebody else's model: a writer that is trained, and a judge that is not.
#[derive(Module, Debug)]
struct Studio {
    writer: Gemma,
    judge: Deberta,
}

impl Studio {
    fn new(device: &Device) -> Self {
        let mut writer = GemmaConfig::gemma_2b()
            .with_vocab_size(64)
            .with_hidden_size(32)
            .with_intermediate_size(64)
            .with_num_hidden_layers(2)
            .with_head_dim(8)
            .init(device);
        writer.freeze_weights();
        writer.add_lora(&LoraConfig::new(4, 8.0), device);
        let mut judge = DebertaConfig::deberta_v3_base()
            .with_vocab_size(64)
            .with_hidden_size(32)
            .with_intermediate_size(64)
            .with_num_hidden_layers(2)
            .with_num_attention_heads(4)
            .init(device);
        judge.freeze_weights();
        Self { writer, judge }
    }

    /// How much the judge likes a text.
    fn taste(&self, text: &[i32], device: &Device) -> f32 {
        let logits = self
            .judge
            .forward(ClassifierInput::new(&[text.to_vec()], 0, device));
        activation::softmax(logits, 1)
            .narrow(1, 1, 1)
            .into_scalar::<f32>()
    }

    /// How unlikely the writer finds the text.
    fn surprise(&self, text: &[i32], device: &Device) -> Tensor<1> {
        let input = GemmaInput::from_ids(&[text.to_vec()], device);
        let logits = self.writer.forward(input).narrow(1, 0, text.len() - 1);
        let next = Tensor::<1, Int>::from_ints(&text[1..], device).reshape([1, text.len() - 1, 1]);
        activation::log_softmax(logits, 2)
            .gather(2, next)
            .mean()
            .neg()
    }
}

fn main() {
    let device = Device::flex();
    device.seed(1);
    let mut studio = Studio::new(&device);
    let texts = [[2, 10, 11, 12, 13, 14], [2, 20, 21, 22, 23, 24]];
    let liked = texts
        .iter()
        .max_by(|a, b| {
            studio
                .taste(*a, &device)
                .total_cmp(&studio.taste(*b, &device))
        })
        .expect("there are two texts");

    let mut optimizer = AdamWConfig::new().init();
    let before = studio.surprise(liked, &device).into_scalar::<f32>();
    for _ in 0..20 {
        let loss = studio.surprise(liked, &device);
        let grads = GradientsParams::from_grads(loss.backward(), &studio);
        studio = optimizer.step(1e-2, studio, grads);
    }
    let after = studio.surprise(liked, &device).into_scalar::<f32>();
    println!(
        "trained parameters {}, loss {before:.3} before and {after:.3} after",
        studio.num_params()
    );
    assert!(after < before, "training made it worse");
}
