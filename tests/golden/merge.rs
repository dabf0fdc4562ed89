use apc::files::{self, Checkpoint, Precision};
use apc::nn::Gemma;
use apc::progress::Job;
use burn::tensor::{DType, Tolerance};
use std::path::Path;

use super::adapter::{adapted, base, load};
use super::files::logits;
use super::{device, folder};

fn merge(model: &str, adapter: &str, output: &Path, max_bytes: u64) -> apc::Result<files::Written> {
    let model = folder(model);
    let adapter = model.join(adapter);
    files::merge_adapter(
        &Checkpoint::folder(model),
        &adapter,
        output,
        None,
        max_bytes,
        &device(),
        &Job::default(),
    )
}

fn same(model: &Path, expected: &Gemma) {
    let merged =
        files::load_decoder(&Checkpoint::folder(model), Precision::default(), &device()).unwrap();
    logits(&merged).assert_approx_eq(&logits(expected), Tolerance::<f32>::absolute(1e-5));
}

#[test]
fn a_merged_model_answers_as_the_model_with_its_adapter_in_one_file_or_in_shards() {
    for name in ["gemma-mqa", "gemma-gqa", "gemma-mha"] {
        let there = tempfile::tempdir().unwrap();
        let (whole, shards) = (there.path().join("whole"), there.path().join("shards"));
        let written = merge(name, "adapter", &whole, u64::MAX).unwrap();
        assert_eq!(written.files, 1);
        assert!(written.changed > 0);
        same(&whole, &adapted(name));

        let written = merge(name, "adapter", &shards, written.bytes / 3).unwrap();
        assert!(written.files > 2, "{written:?}");
        assert!(!shards.join("model.safetensors").exists());
        same(&shards, &adapted(name));
    }
}

#[test]
fn an_adapter_with_ranks_by_module_is_merged_too() {
    let there = tempfile::tempdir().unwrap();
    merge("gemma-mha", "adapter-patterns", there.path(), u64::MAX).unwrap();
    let mut model = base("gemma-mha");
    load(&mut model, &folder("gemma-mha").join("adapter-patterns"));
    same(there.path(), &model);
}

#[test]
fn a_folder_that_holds_a_model_is_left_as_it_is() {
    let there = tempfile::tempdir().unwrap();
    merge("gemma-mqa", "adapter", there.path(), u64::MAX).unwrap();
    let error = merge("gemma-mqa", "adapter", there.path(), 100).unwrap_err();
    assert!(
        error.to_string().contains("holds a model already"),
        "{error}"
    );
    same(there.path(), &adapted("gemma-mqa"));
    assert!(!there.path().join("model.safetensors.index.json").exists());
}

#[test]
fn an_adapter_of_another_model_writes_nothing() {
    let there = tempfile::tempdir().unwrap();
    let output = there.path().join("merged");
    let adapter = folder("gemma-gqa").join("adapter");
    files::merge_adapter(
        &Checkpoint::folder(folder("gemma-mqa")),
        &adapter,
        &output,
        None,
        1 << 30,
        &device(),
        &Job::default(),
    )
    .unwrap_err();
    assert!(!output.exists());
}

#[test]
fn config_json_names_the_dtype_that_the_merged_weights_are_in() {
    let there = tempfile::tempdir().unwrap();
    let model = folder("gemma-gqa");
    let (adapter, job) = (model.join("adapter"), Job::default());
    let dtype = Some(DType::BF16);
    files::merge_adapter(
        &Checkpoint::folder(model),
        &adapter,
        there.path(),
        dtype,
        u64::MAX,
        &device(),
        &job,
    )
    .unwrap();
    let text = std::fs::read_to_string(there.path().join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["dtype", "torch_dtype"] {
        assert_eq!(config[key], "bfloat16");
    }
}
