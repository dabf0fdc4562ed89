//! What the tests do with a decoder's LoRA factors.

use apc::files::{self, AdapterConfig, Checkpoint, Precision};
use apc::nn::{Decoder, Lora, Projection};
use burn::tensor::Gradients;
use std::path::Path;

use super::{device, folder, values};

/// What stands in front of the layers in PEFT's names of a text model's factors.
pub(super) const LAYERS: &str = "base_model.model.model.";

/// The decoder in a fixture's folder.
pub(super) fn base(name: &str) -> Decoder {
    files::load_decoder(
        &Checkpoint::folder(folder(name)),
        Precision::default(),
        &device(),
    )
    .expect("the fixture loads")
}

/// The same with the fixture's adapter.
pub(super) fn adapted(name: &str) -> Decoder {
    let mut model = base(name);
    load(&mut model, &folder(name).join("adapter"));
    model
}

pub(super) fn load(model: &mut Decoder, folder: &Path) -> AdapterConfig {
    files::load_adapter(model, folder, &device()).expect("the adapter loads")
}

/// Calls `visit` with the names of both factors, as PEFT has them, and the factors.
fn factors(model: &Decoder, prefix: &str, visit: &mut dyn FnMut([String; 2], &Lora)) {
    for (layer_idx, projection, linear) in model.projections() {
        let part = match projection {
            Projection::Gate | Projection::Up | Projection::Down => "mlp",
            _ => "self_attn",
        };
        let name = |factor| {
            let projection = projection.name();
            format!("{prefix}layers.{layer_idx}.{part}.{projection}.{factor}.weight")
        };
        if let Some(lora) = linear.lora() {
            visit([name("lora_A"), name("lora_B")], lora);
        }
    }
}

/// The value of every factor, by PEFT's name.
pub(super) fn factor_values(model: &Decoder, prefix: &str) -> Vec<(String, Vec<f64>)> {
    let mut all = Vec::new();
    factors(model, prefix, &mut |[a, b], lora| {
        all.push((a, values(lora.lora_a.val().into_data())));
        all.push((b, values(lora.lora_b.val().into_data())));
    });
    all
}

/// The gradient of every factor, by PEFT's name.
pub(super) fn factor_gradients(
    model: &Decoder,
    prefix: &str,
    gradients: &Gradients,
) -> Vec<(String, Vec<f64>)> {
    let mut all = Vec::new();
    factors(model, prefix, &mut |[a, b], lora| {
        for (name, factor) in [(a, &lora.lora_a), (b, &lora.lora_b)] {
            let gradient = factor.val().grad(gradients);
            let gradient = gradient.unwrap_or_else(|| panic!("{name} has no gradient"));
            all.push((name, values(gradient.into_data())));
        }
    });
    all
}
