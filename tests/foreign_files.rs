//! Checkpoints, tokenizers and adapters of other programs: what can be used is, and the rest is refused with its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use apc::files::{self, AdapterConfig, Checkpoint, Precision};
use burn::tensor::Device;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::bad_input::{copied, refused};
use super::cli::SCORE;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gemma-mqa");

fn edit_json(path: &Path, edit: impl Fn(&mut Value)) {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// The tensors of a file: dtype, shape, bytes.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn edit_tensors(path: &Path, edit: impl Fn(&mut Tensors)) {
    let bytes = fs::read(path).unwrap();
    let found = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = found.iter().map(|(name, view)| {
        let tensor = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        (name.to_string(), tensor)
    });
    let mut tensors: Tensors = tensors.collect();
    edit(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Lets a Gemma go on from a prompt.
fn generate(model: &Path, prompt: &str) -> Vec<String> {
    let model = model.to_str().unwrap();
    let arguments = [
        "generate",
        "--model",
        model,
        "--max-new-tokens",
        "2",
        "--prompt",
        prompt,
    ];
    arguments.map(str::to_string).to_vec()
}

fn generate_refused(model: &Path, prompt: &str, parts: &[&str]) {
    let arguments = generate(model, prompt);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    refused(&arguments, 1, parts);
}

fn generates(model: &Path, prompt: &str) {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("apc"));
    let output = command.args(generate(model, prompt)).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn load_adapter(folder: &Path) -> Result<AdapterConfig, String> {
    let device = Device::default();
    let base = Checkpoint::folder(GOLDEN);
    let mut model = files::load_decoder(&base, Precision::default(), &device).unwrap();
    files::load_adapter(&mut model, folder, &device).map_err(|error| error.to_string())
}

/// A copy of the adapter that PEFT has written.
fn adapter(folder: &Path, name: &str) -> PathBuf {
    let copy = folder.join(name);
    fs::create_dir_all(&copy).unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(
            Path::new(GOLDEN).join("adapter").join(file),
            copy.join(file),
        )
        .unwrap();
    }
    copy
}

#[test]
fn a_token_without_a_row_is_refused_where_a_text_has_it_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let model = copied(folder.path(), "gemma");
    edit_json(&model.join("tokenizer.json"), |json| {
        let added = json["added_tokens"].as_array_mut().unwrap();
        let mut token = added[0].clone();
        token["id"] = json!(1_000_000);
        token["content"] = json!("<new>");
        added.push(token);
    });
    generates(&model, "Who are you?");
    generate_refused(
        &model,
        "Who is <new>?",
        &["tokenizer.json", "<new>", "vocab_size"],
    );
}

#[test]
fn special_ids_without_a_row_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let nli = copied(folder.path(), "nli");
    let score = [&SCORE[..], &["--nli"]].concat();
    for pad in [-1, 999_999] {
        edit_json(&nli.join("config.json"), |json| {
            json["pad_token_id"] = json!(pad)
        });
        let arguments = [&score[..], &[nli.to_str().unwrap()]].concat();
        refused(&arguments, 1, &["pad_token_id", &pad.to_string()]);
    }
    edit_json(&nli.join("config.json"), |json| {
        json["pad_token_id"] = json!(0)
    });
    edit_json(&nli.join("tokenizer.json"), |json| {
        let tokens = json["post_processor"]["special_tokens"]
            .as_object_mut()
            .unwrap();
        let (_, token) = tokens.iter_mut().next().unwrap();
        token["ids"] = json!([77_777]);
    });
    let arguments = [&score[..], &[nli.to_str().unwrap()]].concat();
    refused(&arguments, 1, &["tokenizer.json", "77777"]);
}

#[test]
fn a_tokenizer_that_its_own_reader_panics_on_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let model = copied(folder.path(), "gemma");
    let path = model.join("tokenizer.json");
    let whole = fs::read_to_string(&path).unwrap();
    let value: Value = serde_json::from_str(&whole).unwrap();
    let mut damaged = value.clone();
    damaged["decoder"] = json!("HERE");
    let comma = damaged
        .to_string()
        .replace("\"HERE\"", "{\"type\": \"Fuse\",}");
    let mut unknown = value.clone();
    unknown["post_processor"] = json!({
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<none>", "type_id": 0}}],
        "pair": [], "special_tokens": {},
    });
    let mut growing = value;
    growing["normalizer"] = json!({"type": "Sequence", "normalizers": vec![
        json!({"type": "Replace", "pattern": {"String": ""}, "content": "a".repeat(10_000)}); 4
    ]});
    for text in [comma, unknown.to_string(), growing.to_string()] {
        fs::write(&path, text).unwrap();
        generate_refused(&model, "Who are you?", &["tokenizer.json"]);
    }
}

#[test]
fn weights_that_are_no_floats_or_not_finite_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = copied(folder.path(), "gemma");
    let weights = model.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let name = "model.norm.weight";
    for (dtype, told) in [
        (Dtype::I64, "I64"),
        (Dtype::BOOL, "Bool"),
        (Dtype::U8, "U8"),
    ] {
        fs::write(&weights, &whole).unwrap();
        edit_tensors(&weights, |tensors| {
            let tensor = tensors.get_mut(name).unwrap();
            let values: usize = tensor.1.iter().product();
            let size = if dtype == Dtype::I64 { 8 } else { 1 };
            (tensor.0, tensor.2) = (dtype, vec![1; size * values]);
        });
        generate_refused(&model, "Hi", &[name, told, "weights are floats"]);
    }
    for value in [f32::NAN, f32::INFINITY] {
        fs::write(&weights, &whole).unwrap();
        edit_tensors(&weights, |tensors| {
            let tensor = tensors.get_mut(name).unwrap();
            tensor.0 = Dtype::F32;
            let values: usize = tensor.1.iter().product();
            tensor.2 = [vec![1.0; values - 1], vec![value]]
                .concat()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect();
        });
        generate_refused(&model, "Hi", &[name, "not finite"]);
    }
}

#[test]
fn a_pickle_that_is_no_state_dict_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let model = copied(folder.path(), "gemma");
    fs::remove_file(model.join("model.safetensors")).unwrap();
    // The lists [] and [1], the number 1, a dictionary with a list, and an end.
    for pickle in [
        &b"\x80\x02]."[..],
        b"\x80\x02]K\x01a.",
        b"\x80\x02K\x01.",
        b"\x80\x02}X\x01\x00\x00\x00a]s.",
        b".",
    ] {
        fs::write(model.join("pytorch_model.bin"), pickle).unwrap();
        generate_refused(&model, "Hi", &["gemma"]);
    }
}

#[test]
fn an_adapter_in_pytorchs_format_is_that_in_safetensors() {
    let device = Device::default();
    let base = Checkpoint::folder(GOLDEN);
    let logits = |name: &str| {
        let mut model = files::load_decoder(&base, Precision::default(), &device).unwrap();
        files::load_adapter(&mut model, &Path::new(GOLDEN).join(name), &device).unwrap();
        let input = apc::nn::DecoderInput::from_ids(&[vec![2, 5, 7]], &device);
        model.forward(input).into_data()
    };
    assert_eq!(logits("adapter-bin"), logits("adapter"));
}

#[test]
fn a_setting_of_peft_that_is_not_known_and_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = adapter(folder.path(), "a");
    let config = path.join("adapter_config.json");
    edit_json(&config, |json| json["new_scale"] = Value::Null);
    assert!(load_adapter(&path).is_ok());
    for (name, value) in [
        ("new_scale", json!(2.0)),
        ("use_dora", json!(true)),
        ("monteclora_config", json!({"samples": 2})),
        ("lora_alpha", json!(1e300)),
    ] {
        let path = adapter(folder.path(), "b");
        edit_json(&path.join("adapter_config.json"), |json| {
            json[name] = value.clone()
        });
        let error = load_adapter(&path).unwrap_err();
        assert!(
            error.contains(name) && error.contains("adapter_config.json"),
            "{error}"
        );
    }
}

#[test]
fn saved_embeddings_are_passed_over_if_they_are_the_bases_and_refused_with_advice_if_not() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(Path::new(GOLDEN).join("model.safetensors")).unwrap();
    let base = SafeTensors::deserialize(&bytes).unwrap();
    let table = base.tensor("model.embed_tokens.weight").unwrap();
    let saved = |change: &dyn Fn(&mut Vec<u8>, &mut Vec<usize>)| {
        let path = adapter(folder.path(), "a");
        edit_json(&path.join("adapter_config.json"), |json| {
            json["modules_to_save"] = json!(["embed_tokens"])
        });
        edit_tensors(&path.join("adapter_model.safetensors"), |tensors| {
            let (mut bytes, mut shape) = (table.data().to_vec(), table.shape().to_vec());
            change(&mut bytes, &mut shape);
            for name in ["model.embed_tokens.weight", "lm_head.weight"] {
                let tensor = (table.dtype(), shape.clone(), bytes.clone());
                tensors.insert(format!("base_model.model.{name}"), tensor);
            }
        });
        load_adapter(&path)
    };
    let config = saved(&|_, _| ()).unwrap();
    let written = serde_json::to_value(config).unwrap();
    assert!(written["modules_to_save"].is_null(), "{written}");
    let trained = saved(&|bytes, _| bytes[..4].copy_from_slice(&0.5_f32.to_le_bytes()));
    let resized = saved(&|bytes, shape| {
        bytes.extend(vec![0; 4 * shape[1]]);
        shape[0] += 1;
    });
    for error in [trained.unwrap_err(), resized.unwrap_err()] {
        assert!(
            error.contains("model.embed_tokens.weight") && error.contains("merge_and_unload"),
            "{error}"
        );
    }
}

#[test]
fn an_adapter_that_is_damaged_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damage: [Damage<'_>; 4] = [
        ("adapter_config.json", &|path| {
            fs::remove_file(path).unwrap()
        }),
        ("adapter_config.json", &|path| {
            fs::write(path, "{\"peft").unwrap()
        }),
        ("adapter_model.safetensors", &|path| {
            fs::remove_file(path).unwrap()
        }),
        ("adapter_model.safetensors", &|path| {
            let whole = fs::read(path).unwrap();
            fs::write(path, &whole[..whole.len() / 2]).unwrap();
        }),
    ];
    for (file, damage) in damage {
        let path = adapter(folder.path(), "a");
        damage(&path.join(file));
        let error = load_adapter(&path).unwrap_err();
        assert!(error.contains(file) && error.contains("again"), "{error}");
    }
    let path = adapter(folder.path(), "a");
    edit_tensors(&path.join("adapter_model.safetensors"), |tensors| {
        let (_, tensor) = tensors.iter_mut().next().unwrap();
        tensor.2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let error = load_adapter(&path).unwrap_err();
    assert!(error.contains("not finite"), "{error}");
}

#[test]
fn a_training_that_diverges_is_an_error_and_leaves_no_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = folder.path().join("pairs.jsonl");
    let row =
        json!({"prompt": "Who?", "chosen": " Mira the carpenter.", "rejected": " Nobody at all."});
    fs::write(&pairs, format!("{row}\n").repeat(8)).unwrap();
    let output = folder.path().join("out");
    let [pairs, output] = [&pairs, &output].map(|path| path.to_str().unwrap());
    let dpo = [
        "dpo",
        "--model",
        "models/tiny/gemma",
        "--pairs",
        pairs,
        "--output",
        output,
        "--accumulate",
        "1",
    ];
    // The loss has the square of 1 / 2β.
    let wild = ["--loss", "ipo", "--beta", "1e-30"];
    refused(
        &[&dpo[..], &wild].concat(),
        1,
        &["diverged", "--learning-rate"],
    );
    assert!(!Path::new(output).join("adapter_model.safetensors").exists());
}

#[test]
fn counts_that_no_memory_holds_are_refused() {
    let train = ["train", "--character", "Alice", "--output", "no/such"];
    for (flag, value) in [
        ("--lora-rank", "1000000000"),
        ("--max-dpo-data", "10000000000"),
        ("--eval-replies", "1000000000000000000"),
        ("--prp-dpo-epoch", "18446744073709551615"),
        ("--lora-alpha", "1e308"),
    ] {
        refused(
            &[&train[..], &[flag, value]].concat(),
            2,
            &[flag, "at most"],
        );
    }
    let dpo = [
        "dpo",
        "--model",
        "models/tiny/gemma",
        "--pairs",
        "p",
        "--output",
        "o",
    ];
    for flag in ["--lora-rank", "--epochs", "--batch-size", "--accumulate"] {
        refused(
            &[&dpo[..], &[flag, "18446744073709551615"]].concat(),
            2,
            &[flag, "at most"],
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let nli = copied(folder.path(), "nli");
    for key in [
        "num_labels",
        "num_hidden_layers",
        "vocab_size",
        "position_buckets",
    ] {
        let config = nli.join("config.json");
        let whole = fs::read_to_string(&config).unwrap();
        edit_json(&config, |json| {
            json[key] = json!(1_000_000_000_000_u64);
            if key == "num_labels" {
                json.as_object_mut().unwrap().remove("id2label");
            }
        });
        let score = [&SCORE[..], &["--nli"]].concat();
        let told = ["nli", "config.json"];
        refused(&[&score[..], &[nli.to_str().unwrap()]].concat(), 1, &told);
        fs::write(config, whole).unwrap();
    }
}
