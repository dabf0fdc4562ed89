use std::collections::HashMap;
use std::fs;
use std::path::Path;

use apc::files::{self, Checkpoint, Precision};
use apc::nn::{ClassifierInput, DecoderInput, Gemma, Weights};
use burn::tensor::{DType, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

use super::adapter::{LAYERS, adapted, base, factor_values, load};
use super::{assert_close, device, folder, values};

/// A copy of a fixture's folder, to be changed.
pub(super) fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder can be made");
    for entry in fs::read_dir(folder(name)).expect("the fixture is there") {
        let path = entry.expect("the fixture can be listed").path();
        if path.is_file() {
            let to = copy
                .path()
                .join(path.file_name().expect("a file has a name"));
            fs::copy(&path, to).expect("the fixture can be copied");
        }
    }
    copy
}

/// A tensor of a file that is changed.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

/// Writes a safetensors file anew with other tensors in it.
pub(super) fn change(path: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let bytes = fs::read(path).expect("the file is there");
    let found = SafeTensors::deserialize(&bytes).expect("the file is whole");
    let own = |(name, view): (String, TensorView<'_>)| {
        let (dtype, shape, bytes) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        (
            name,
            Tensor {
                dtype,
                shape,
                bytes,
            },
        )
    };
    let mut tensors = found.tensors().into_iter().map(own).collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (name, view.expect("the shape fits"))
    });
    let bytes = safetensors::serialize(views, None).expect("the tensors can be written");
    fs::write(path, bytes).expect("the file can be written");
}

pub(super) fn logits(model: &Gemma) -> TensorData {
    let (ids, segments) = (
        [vec![0, 2, 5, 6, 7], vec![2, 8, 9, 10, 11]],
        [vec![0, 1, 1, 1, 1], vec![1; 5]],
    );
    model
        .forward(DecoderInput::with_segments(&ids, &segments, &device()))
        .into_data()
}

pub(crate) fn texts() -> ClassifierInput {
    ClassifierInput::new(&[vec![1, 9, 8, 2], vec![1, 2]], 0, &device())
}

#[test]
fn a_gemma_and_its_adapter_are_the_same_to_the_bit_after_writing_and_reading() {
    for name in ["gemma-mqa", "gemma-gqa", "gemma-mha"] {
        let mut model = base(name);
        let plain = logits(&model);
        let lora = load(&mut model, &folder(name).join("adapter"));
        let there = tempfile::tempdir().unwrap();
        let config = files::read_decoder_config(&Checkpoint::folder(folder(name))).unwrap();
        files::save_weights(&mut model, there.path()).unwrap();
        files::write_gemma_config(there.path(), &config).unwrap();
        files::save_adapter(&model, &lora, &there.path().join("adapter")).unwrap();

        assert_eq!(
            files::read_decoder_config(&Checkpoint::folder(there.path())).unwrap(),
            config
        );
        let mut again = files::load_decoder(
            &Checkpoint::folder(there.path()),
            Precision::default(),
            &device(),
        )
        .unwrap();
        logits(&again).assert_eq(&plain, true);
        let lora_again = load(&mut again, &there.path().join("adapter"));
        assert_eq!(lora_again, lora);
        assert_eq!(factor_values(&again, LAYERS), factor_values(&model, LAYERS));
        logits(&again).assert_eq(&logits(&model), true);
    }
}

#[test]
fn a_classifier_is_the_same_to_the_bit_after_writing_and_reading() {
    for name in ["deberta-v3-2", "deberta-v3-3", "deberta-v2", "xlm-roberta"] {
        let (mut model, config) = files::load_classifier(
            &Checkpoint::folder(folder(name)),
            Precision::default(),
            &device(),
        )
        .unwrap();
        let there = tempfile::tempdir().unwrap();
        files::save_weights(&mut model, there.path()).unwrap();
        files::write_classifier_config(there.path(), &config).unwrap();

        let (again, config_again) = files::load_classifier(
            &Checkpoint::folder(there.path()),
            Precision::default(),
            &device(),
        )
        .unwrap();
        assert_eq!(config_again.model, config.model);
        assert_eq!(
            (config_again.labels, config_again.pad_token_id),
            (config.labels, config.pad_token_id)
        );
        let expected = model.forward(texts()).into_data();
        again
            .forward(texts())
            .into_data()
            .assert_eq(&expected, true);
    }
}

#[test]
fn weights_in_bfloat16_are_read_as_the_numbers_they_stand_for() {
    let there = copy("gemma-mqa");
    change(&there.path().join("model.safetensors"), |tensors| {
        for tensor in tensors.values_mut() {
            let halves = tensor
                .bytes
                .chunks(4)
                .flat_map(|bytes| [bytes[2], bytes[3]]);
            (tensor.dtype, tensor.bytes) = (Dtype::BF16, halves.collect());
        }
    });
    let mut expected = HashMap::new();
    base("gemma-mqa").weights("", &mut |name, weight| {
        let cut = |value: f64| f64::from(f32::from_bits((value as f32).to_bits() & 0xffff_0000));
        let cut: Vec<_> = values(weight.to_data()).into_iter().map(cut).collect();
        expected.insert(name.to_string(), cut);
    });
    for kept in [files::Dtype::Float32, files::Dtype::Bfloat16] {
        let dtype = DType::from(kept);
        let mut model =
            files::load_decoder(&Checkpoint::folder(there.path()), kept.into(), &device()).unwrap();
        model.weights("", &mut |name, weight| {
            let data = weight.to_data();
            assert_eq!(data.dtype(), dtype);
            assert_eq!(values(data), expected[name], "{name} as {dtype:?}");
        });
    }
}

#[test]
fn models_in_half_precision_with_factors_in_f32_stay_near_those_in_f32() {
    for (kept, tolerance) in [(files::Dtype::Bfloat16, 0.1), (files::Dtype::Float16, 0.02)] {
        let dtype = DType::from(kept);
        for name in ["gemma-mqa", "gemma-gqa", "gemma-mha"] {
            let mut model =
                files::load_decoder(&Checkpoint::folder(folder(name)), kept.into(), &device())
                    .unwrap();
            load(&mut model, &folder(name).join("adapter"));
            let (got, expected) = (logits(&model), logits(&adapted(name)));
            assert_eq!(got.dtype(), dtype);
            assert_close(name, &values(got), &values(expected), tolerance);
        }
        for name in ["deberta-v3-2", "deberta-v3-3", "deberta-v2", "xlm-roberta"] {
            let [got, expected] = [kept, files::Dtype::Float32].map(|kept| {
                let (model, _) = files::load_classifier(
                    &Checkpoint::folder(folder(name)),
                    kept.into(),
                    &device(),
                )
                .unwrap();
                model.forward(texts()).into_data()
            });
            assert_eq!(got.dtype(), dtype);
            assert_close(name, &values(got), &values(expected), tolerance);
        }
    }
}

#[test]
fn an_adapter_replaces_another_and_one_that_is_refused_changes_nothing() {
    let mut model = adapted("gemma-mqa");
    let expected = logits(&model);
    load(&mut model, &folder("gemma-mqa").join("adapter"));
    logits(&model).assert_eq(&expected, true);
    files::load_adapter(&mut model, &folder("gemma-gqa").join("adapter"), &device()).unwrap_err();
    logits(&model).assert_eq(&expected, true);
}
