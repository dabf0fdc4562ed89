use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use apc::files::{self, Checkpoint, Precision, Quantization};
use apc::nn::nf4::{self, BLOCK_SIZE};
use apc::nn::{DecoderInput, Gemma};
use apc::progress::Job;
use safetensors::{Dtype, SafeTensors};

use super::files::texts;
use super::{assert_close, device, folder, numbers, values};

/// The tensors of a file: f32 values, or bytes as numbers.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = fs::read(path).expect("the file is there");
    let found = SafeTensors::deserialize(&bytes).expect("the file is whole");
    let tensors = found.tensors().into_iter().map(|(name, view)| {
        let values = match view.dtype() {
            Dtype::U8 => view.data().iter().map(|&byte| f64::from(byte)).collect(),
            _ => numbers(view.data(), |bytes| f32::from_le_bytes(bytes).into()),
        };
        (name, values)
    });
    tensors.collect()
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Compares logits with those of transformers and bitsandbytes.
fn assert_logits(model: &Gemma, golden: &str, tolerance: f64) {
    let golden = &tensors(&folder("nf4").join("logits.safetensors"))[golden];
    let input = DecoderInput::from_ids(&[vec![2, 8, 9, 10, 11, 40, 3]], &device());
    let logits = values(model.forward(input).into_data());
    assert_close("logits", &logits, golden, tolerance);
}

fn load(folder: &Path, quantization: Quantization) -> Gemma {
    let precision = Precision {
        quantization,
        ..Precision::default()
    };
    files::load_decoder(&Checkpoint::folder(folder), precision, &device()).expect("the model loads")
}

#[test]
fn codes_and_scales_of_twenty_matrices_are_those_of_bitsandbytes() {
    let golden = tensors(&folder("nf4").join("matrices.safetensors"));
    for place in 0..20 {
        let of = |part: &str| f32s(&golden[&format!("{place}.{part}")]);
        let values = of("values");
        assert_eq!(nf4::absmax(&values, BLOCK_SIZE), of("absmax"), "{place}");
        let codes: Vec<f32> = nf4::quantize(&values, BLOCK_SIZE)
            .into_iter()
            .map(f32::from)
            .collect();
        assert_eq!(codes, of("codes"), "{place}");
    }
}

#[test]
fn checkpoints_of_transformers_and_bitsandbytes_give_their_logits() {
    for form in ["plain", "nested"] {
        let model = load(&folder("nf4").join(form), Quantization::None);
        assert_logits(&model, form, 2e-5);
    }
}

#[test]
fn dense_weights_are_quantized_while_they_are_read() {
    let model = load(&folder("gemma-mqa"), Quantization::Nf4);
    assert_logits(&model, "plain", 2e-5);
}

#[test]
fn a_model_quantized_here_has_the_tensors_of_one_quantized_by_transformers() {
    let there = tempfile::tempdir().unwrap();
    let written = files::quantize_model(
        &Checkpoint::folder(folder("gemma-mqa")),
        there.path(),
        u64::MAX,
        &Job::default(),
    )
    .unwrap();
    assert_eq!(written.changed, 21);
    let [own, golden] =
        [there.path(), &folder("nf4/plain")].map(|path| tensors(&path.join("model.safetensors")));
    assert!(own.keys().eq(golden.keys()));
    for (name, own) in &own {
        if name.contains("quant_state") {
            // A JSON text, which Python writes with spaces.
            let [own, golden] = [own, &golden[name]].map(|bytes| -> serde_json::Value {
                let bytes: Vec<u8> = bytes.iter().map(|&byte| byte as u8).collect();
                serde_json::from_slice(&bytes).expect("the state is JSON")
            });
            assert_eq!(own, golden, "{name}");
        } else {
            assert_eq!(*own, golden[name], "{name}");
        }
    }
    assert_logits(&load(there.path(), Quantization::None), "plain", 2e-5);
    // transformers 5 looks for what stays dense at the beginning and the end of a module's path.
    let config: serde_json::Value = files::read_json(&there.path().join("config.json")).unwrap();
    let dense = &config["quantization_config"]["llm_int8_skip_modules"];
    for tower in ["vision_tower", "audio_tower", "embed_vision"] {
        let paths = [tower.to_string(), format!("model.{tower}")];
        assert!(
            paths
                .iter()
                .all(|path| dense.as_array().unwrap().contains(&path.as_str().into())),
            "{dense}"
        );
    }

    let again = files::quantize_model(
        &Checkpoint::folder(there.path()),
        &there.path().join("again"),
        u64::MAX,
        &Job::default(),
    );
    let error = again.unwrap_err().to_string();
    assert!(error.contains("is quantized already"), "{error}");
}

#[test]
fn another_quantization_is_refused_by_its_name() {
    let there = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder("nf4/plain")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, there.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = there.path().join("config.json");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("\"nf4\"", "\"fp4\"");
    fs::write(&config, text).unwrap();
    let error = files::load_decoder(
        &Checkpoint::folder(there.path()),
        Precision::default(),
        &device(),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("bitsandbytes with type fp4"),
        "{error}"
    );
}

#[test]
fn a_judge_in_four_bits_stays_near_itself_in_f32() {
    for name in ["deberta-v3-3", "xlm-roberta"] {
        let [dense, packed] =
            [Precision::default(), Precision::default().in_nf4()].map(|precision| {
                let checkpoint = Checkpoint::folder(folder(name));
                let (model, _) = files::load_classifier(&checkpoint, precision, &device()).unwrap();
                values(model.forward(texts()).into_data())
            });
        assert_ne!(dense, packed, "{name}: nothing was quantized");
        assert_close(name, &packed, &dense, 0.5);
    }
}
