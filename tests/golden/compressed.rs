use apc::files::{self, Bits, Checkpoint, Precision};
use apc::nn::{DecoderInput, Gemma, WeightMut, Weights};
use apc::progress::Job;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::files::{Tensor, change, copy};
use super::{Golden, TOLERANCE, device, folder, values};

fn logits(checkpoint: &Checkpoint) -> Vec<f64> {
    let precision = Precision::default();
    let gemma: Gemma = files::load_decoder(checkpoint, precision, &device()).expect("it loads");
    let input = DecoderInput::from_ids(&[vec![2, 8, 9, 10, 11, 40, 3]], &device());
    values(gemma.forward(input).into_data())
}

#[test]
fn a_checkpoint_of_compressed_tensors_gives_the_logits_of_transformers() {
    for name in ["compressed/4-bit", "compressed/8-bit"] {
        let golden = Golden::open(name, "golden.safetensors");
        let found = logits(&Checkpoint::folder(folder(name)));
        golden.assert("logits", &found, TOLERANCE);
    }
}

#[test]
fn a_quantized_checkpoint_is_written_dense_and_gives_the_same_logits() {
    for name in ["compressed/4-bit", "compressed/8-bit", "nf4/plain"] {
        let from = Checkpoint::folder(folder(name));
        let dense = tempfile::tempdir().unwrap();
        let job = Job::default();
        let written = files::dequantize_model(&from, dense.path(), u64::MAX, &job).unwrap();
        assert_eq!(written.changed, 21, "{name}");
        let to = Checkpoint::folder(dense.path());
        assert_eq!(logits(&to), logits(&from), "{name}");
        let bytes = std::fs::read(dense.path().join("model.safetensors")).unwrap();
        let names = SafeTensors::deserialize(&bytes).unwrap();
        assert!(names.names().iter().all(|name| name.ends_with("weight")));
        let config: Value = files::read_json(&dense.path().join("config.json")).unwrap();
        assert_eq!(config.get("quantization_config"), None);
        let again = tempfile::tempdir().unwrap();
        let error = files::dequantize_model(&to, again.path(), u64::MAX, &job).unwrap_err();
        assert!(error.to_string().contains("is not quantized"), "{error}");

        // A config that promises what the weights do not hold.
        std::fs::copy(
            folder(name).join("config.json"),
            dense.path().join("config.json"),
        )
        .unwrap();
        let error = files::dequantize_model(&to, again.path(), u64::MAX, &job).unwrap_err();
        assert!(error.to_string().contains("dense already"), "{error}");
        assert_eq!(std::fs::read_dir(again.path()).unwrap().count(), 0);
    }
}

#[test]
fn limits_of_parts_for_sound_may_be_infinite_where_a_model_is_written_dense() {
    let there = copy("compressed/4-bit");
    let limit = "model.audio_tower.layers.0.clip_max";
    change(&there.path().join("model.safetensors"), |tensors| {
        let (dtype, shape) = (Dtype::F32, vec![1]);
        let bytes = f32::INFINITY.to_le_bytes().to_vec();
        let tensor = Tensor {
            dtype,
            shape,
            bytes,
        };
        tensors.insert(limit.to_string(), tensor);
    });
    let dense = tempfile::tempdir().unwrap();
    let from = Checkpoint::folder(there.path());
    files::dequantize_model(&from, dense.path(), u64::MAX, &Job::default()).unwrap();
    let bytes = std::fs::read(dense.path().join("model.safetensors")).unwrap();
    let written = SafeTensors::deserialize(&bytes).unwrap();
    let found = written.tensor(limit).unwrap();
    assert_eq!(found.data(), f32::INFINITY.to_le_bytes());
}

#[test]
fn what_is_written_in_few_bits_is_read_back_near_what_it_was() {
    let from = Checkpoint::folder(folder("deberta-v3-2"));
    let (mut model, config) =
        files::load_classifier(&from, Precision::default(), &device()).unwrap();
    let there = tempfile::tempdir().unwrap();
    let quantization = files::save_compressed(&mut model, Bits::Four, there.path()).unwrap();
    files::write_classifier_config(there.path(), &config).unwrap();
    let path = there.path().join("config.json");
    let mut told: Value = files::read_json(&path).unwrap();
    told["quantization_config"] = quantization;
    files::write_json(&path, &told).unwrap();
    let packed = Checkpoint::folder(there.path());
    let (mut read, _) = files::load_classifier(&packed, Precision::default(), &device()).unwrap();

    let mut before = Vec::new();
    model.weights("", &mut |name, weight| {
        before.push((name.to_string(), values(weight.to_data())))
    });
    let mut before = before.into_iter();
    let mut n_changed = 0;
    read.weights("", &mut |name, weight| {
        let is_matrix = matches!(weight, WeightMut::Matrix(_));
        let (before_name, before) = before.next().unwrap();
        assert_eq!(name, before_name);
        let after = values(weight.to_data());
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let error = squares(&mut before.iter().zip(&after).map(|(a, b)| a - b));
        let share = error / squares(&mut before.iter().copied());
        // 4 bits for groups of 32 normal values leave a part in a hundred of their square.
        assert!(
            share < if is_matrix { 0.012 } else { 1e-12 },
            "{name}: {share}"
        );
        n_changed += usize::from(share > 0.0);
    });
    assert!(n_changed > 10, "{n_changed}");
    assert_eq!(
        told["quantization_config"]["format"],
        json!("pack-quantized")
    );
    let size =
        |folder: &std::path::Path| folder.join("model.safetensors").metadata().unwrap().len();
    assert!(size(there.path()) * 3 < size(&folder("deberta-v3-2")));
}

/// A tensor's name, shape, bytes and dtype.
type Stored = (String, Vec<usize>, Vec<u8>, Dtype);

#[test]
fn weights_packed_in_a_way_that_is_not_known_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Value, &mut Vec<Stored>)| {
        let there = tempfile::tempdir().unwrap();
        let mut config: Value =
            files::read_json(&folder("compressed/8-bit").join("config.json")).unwrap();
        let bytes = std::fs::read(folder("compressed/8-bit").join("model.safetensors")).unwrap();
        let found = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = found.tensors().into_iter();
        let mut tensors: Vec<_> = tensors
            .map(|(name, view)| {
                (
                    name,
                    view.shape().to_vec(),
                    view.data().to_vec(),
                    view.dtype(),
                )
            })
            .collect();
        change(&mut config, &mut tensors);
        files::write_json(&there.path().join("config.json"), &config).unwrap();
        let views = tensors.iter().map(|(name, shape, bytes, dtype)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            (name.as_str(), view.unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        std::fs::write(there.path().join("model.safetensors"), bytes).unwrap();
        let checkpoint = Checkpoint::folder(there.path());
        files::load_decoder(&checkpoint, Precision::default(), &device())
            .unwrap_err()
            .to_string()
    };
    let scale = "model.layers.0.mlp.up_proj.weight_scale";
    let told = refused(&|config, _| {
        config["quantization_config"]["format"] = json!("float-quantized");
    });
    assert!(told.contains("float-quantized"), "{told}");
    let told = refused(&|_, tensors| tensors.retain(|(name, ..)| name != scale));
    assert!(told.contains(scale) && told.contains("missing"), "{told}");
    let told = refused(&|_, tensors| {
        let mut zero = tensors
            .iter()
            .find(|(name, ..)| name == scale)
            .unwrap()
            .clone();
        zero.0 = scale.replace("_scale", "_zero_point");
        tensors.push(zero);
    });
    assert!(
        told.contains("_zero_point") && told.contains("symmetric"),
        "{told}"
    );
    let told = refused(&|_, tensors| {
        let scale = tensors.iter_mut().find(|(name, ..)| name == scale).unwrap();
        scale.1.reverse();
    });
    assert!(told.contains("a scale for each group"), "{told}");

    let place =
        |tensors: &[Stored], name: &str| tensors.iter().position(|(found, ..)| found == name);
    let told = refused(&|config, _| {
        config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] = json!(2);
    });
    assert!(told.contains("\"num_bits\" 2"), "{told}");
    let [codes, shape] = ["_packed", "_shape"].map(|part| scale.replace("_scale", part));
    let told = refused(&|_, tensors| tensors.retain(|(name, ..)| *name != codes));
    assert!(told.contains(&codes) && told.contains("missing"), "{told}");
    let told = refused(&|_, tensors| {
        let mut dense = tensors[place(tensors, scale).unwrap()].clone();
        dense.0 = scale.replace("_scale", "");
        tensors.push(dense);
    });
    assert!(told.contains("is there twice"), "{told}");
    for sizes in [vec![128, 1, 1], vec![128]] {
        let told = refused(&|_, tensors| {
            let at = place(tensors, scale).unwrap();
            tensors[at].1.clone_from(&sizes);
        });
        assert!(told.contains("a scale for each group"), "{told}");
    }
    let told = refused(&|_, tensors| {
        let at = place(tensors, &shape).unwrap();
        let numbers = [f32::NAN, 64.0]
            .iter()
            .flat_map(|number| number.to_le_bytes());
        tensors[at] = (shape.clone(), vec![2], numbers.collect(), Dtype::F32);
    });
    assert!(told.contains("of F32"), "{told}");
    let told = refused(&|_, tensors| {
        let at = place(tensors, &shape).unwrap();
        let numbers = [-1_i64, 64].iter().flat_map(|number| number.to_le_bytes());
        tensors[at] = (shape.clone(), vec![2], numbers.collect(), Dtype::I64);
    });
    assert!(told.contains("[-1, 64]"), "{told}");
}

#[test]
fn damaged_scales_are_not_written_and_no_weights_are_overwritten() {
    let there = tempfile::tempdir().unwrap();
    let from = folder("compressed/8-bit");
    let mut bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let found = SafeTensors::deserialize(&bytes).unwrap();
    let name = "model.layers.0.mlp.up_proj.weight_scale";
    let view = found.tensor(name).unwrap();
    let at = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(there.path().join("model.safetensors"), bytes).unwrap();
    std::fs::copy(from.join("config.json"), there.path().join("config.json")).unwrap();
    let dequantize = |from: &std::path::Path, to: &std::path::Path| {
        let from = Checkpoint::folder(from);
        files::dequantize_model(&from, to, u64::MAX, &Job::default())
            .map_err(|error| error.to_string())
    };
    let output = tempfile::tempdir().unwrap();
    let told = dequantize(there.path(), &output.path().join("a")).unwrap_err();
    assert!(
        told.contains("up_proj.weight has values that are not finite"),
        "{told}"
    );
    assert!(!output.path().join("a/config.json").exists());

    std::fs::write(output.path().join("model.safetensors"), "mine").unwrap();
    let told = dequantize(&from, output.path()).unwrap_err();
    assert!(told.contains("holds a model already"), "{told}");
    assert_eq!(
        std::fs::read(output.path().join("model.safetensors")).unwrap(),
        b"mine"
    );
}

#[test]
fn a_part_that_no_shard_has_is_told_of_the_folder() {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/relevance");
    let there = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), there.path().join(entry.file_name())).unwrap();
    }
    let path = there.path().join("words.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let mut kept = SafeTensors::deserialize(&bytes).unwrap().tensors();
    kept.retain(|(name, _)| !name.ends_with("_scale"));
    std::fs::write(path, safetensors::serialize(kept, None).unwrap()).unwrap();
    let checkpoint = Checkpoint::folder(there.path());
    let error = files::load_encoder(&checkpoint, Precision::default(), &device()).unwrap_err();
    let (told, folder) = (error.to_string(), there.path().display().to_string());
    assert!(told.starts_with(&format!("{folder}: ")), "{told}");
    assert!(
        told.contains("word_embeddings.weight_scale is missing"),
        "{told}"
    );
}
