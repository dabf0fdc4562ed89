//! A burn project of its own: loads a Gemma with a PEFT adapter and a judge, trains the adapter for a step and writes it.
//!
//! ```text
//! cargo run --release --manifest-path examples/embed/Cargo.toml
//! ```

use std::path::Path;

use apc::files::{self, Checkpoint, Precision};
use apc::nn::{ClassifierInput, DecoderInput};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, activation};

fn main() -> apc::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (device, precision) = (Device::flex(), Precision::default());

    // A frozen Gemma, and LoRA factors on the autodiff side of the device.
    let base = Checkpoint::folder(root.join("tests/golden/gemma-mqa"));
    let mut gemma = files::load_decoder(&base, precision, &device)?;
    let adapter = files::load_adapter(
        &mut gemma,
        &root.join("tests/golden/gemma-mqa/adapter"),
        &device,
    )?;

    // A step that makes a text likelier, by burn's optimizer; only the factors move.
    let text = DecoderInput::from_ids(&[vec![2, 10, 11, 12, 13]], &device);
    let targets = text.input_ids.clone().narrow(1, 1, 4).unsqueeze_dim(2);
    let logits = gemma.forward(text).narrow(1, 0, 4);
    let loss = activation::log_softmax(logits, 2)
        .gather(2, targets)
        .mean()
        .neg();
    println!("loss {:.4}", loss.clone().into_scalar::<f32>());
    let gradients = GradientsParams::from_grads(loss.backward(), &gemma);
    gemma = AdamWConfig::new().init().step(1e-3, gemma, gradients);

    // A judge's probabilities for a text.
    let nli = Checkpoint::folder(root.join("models/tiny/nli"));
    let (judge, config) = files::load_classifier(&nli, precision, &device)?;
    let logits = judge.forward(ClassifierInput::new(
        &[vec![1, 20, 21, 2]],
        config.pad_token_id,
        &device,
    ));
    println!(
        "{:?} {}",
        config.labels,
        activation::softmax(logits, 1).into_data()
    );

    // The adapter, as PEFT reads it.
    let output = std::env::temp_dir().join(format!("apc-embed-{}", std::process::id()));
    files::save_adapter(&gemma, &adapter, &output)?;
    println!("wrote {}", output.display());
    files::remove_dir(&output)
}
