//! Checkpoints and adapters that are refused, each with what is wrong in it.

use std::fs;
use std::path::{Path, PathBuf};

use apc::files::{self, Checkpoint, Precision};
use apc::nn::LayerType;
use serde_json::{Value, json};

use super::adapter::{base, load};
use super::files::{change, copy};
use super::{device, folder};

const QUERY_A: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
const VALUE_B: &str = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight";

/// Sets one key of a JSON file to another value.
fn set(path: &Path, key: &str, value: Value) {
    let text = fs::read_to_string(path).expect("the file is there");
    let mut json: Value = serde_json::from_str(&text).expect("the file is JSON");
    json[key] = value;
    fs::write(path, json.to_string()).expect("the file can be written");
}

fn gemma_error(folder: &Path) -> String {
    let model = files::load_decoder(&Checkpoint::folder(folder), Precision::default(), &device());
    model.expect_err("the folder must be refused").to_string()
}

fn classifier_error(folder: &Path) -> String {
    let model =
        files::load_classifier(&Checkpoint::folder(folder), Precision::default(), &device());
    model.expect_err("the folder must be refused").to_string()
}

fn adapter_error(folder: &Path) -> String {
    let loaded = files::load_adapter(&mut base("gemma-mqa"), folder, &device());
    loaded.expect_err("the adapter must be refused").to_string()
}

#[track_caller]
fn assert_names(error: &str, all: &[&str]) {
    for part in all {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn every_weight_that_does_not_fit_is_named_at_once() {
    let there = copy("gemma-mqa");
    change(&there.path().join("model.safetensors"), |tensors| {
        let norm = tensors.remove("model.norm.weight").unwrap();
        tensors.insert("model.final_norm.weight".into(), norm);
        let key = tensors
            .get_mut("model.layers.2.self_attn.k_proj.weight")
            .unwrap();
        key.shape.reverse();
    });
    assert_names(
        &gemma_error(there.path()),
        &[
            &there.path().display().to_string(),
            "model.norm.weight is missing",
            "model.final_norm.weight is unexpected",
            "model.layers.2.self_attn.k_proj.weight has shape [64, 32], not [32, 64]",
        ],
    );

    let there = copy("deberta-v3-3");
    set(
        &there.path().join("config.json"),
        "num_hidden_layers",
        json!(1),
    );
    change(&there.path().join("model.safetensors"), |tensors| {
        tensors.remove("pooler.dense.bias").unwrap();
        tensors
            .get_mut("deberta.encoder.LayerNorm.weight")
            .unwrap()
            .shape = vec![6, 8];
    });
    assert_names(
        &classifier_error(there.path()),
        &[
            "pooler.dense.bias is missing",
            "deberta.encoder.layer.1.output.dense.weight is unexpected",
            "deberta.encoder.LayerNorm.weight has shape [6, 8], not [48]",
        ],
    );
}

#[test]
fn every_factor_that_does_not_fit_is_named_at_once() {
    let there = copy("gemma-mqa/adapter");
    change(&there.path().join("adapter_model.safetensors"), |tensors| {
        let query = tensors.remove(QUERY_A).unwrap();
        tensors.insert("base_model.model.lm_head.lora_A.weight".into(), query);
        tensors.get_mut(VALUE_B).unwrap().shape.reverse();
    });
    assert_names(
        &adapter_error(there.path()),
        &[
            &format!("{QUERY_A} is missing"),
            &format!("{VALUE_B} has shape [4, 32], not [32, 4]"),
            "base_model.model.lm_head.lora_A.weight is unexpected",
        ],
    );
}

#[test]
fn an_adapter_for_a_model_of_another_size_is_refused() {
    let error = adapter_error(&folder("gemma-gqa").join("adapter"));
    assert_names(
        &error,
        &[
            &format!("{QUERY_A} has shape [4, 48], not [4, 64]"),
            "layers.2",
        ],
    );
}

#[test]
fn an_adapter_with_settings_that_are_not_known_here_is_refused_by_their_names() {
    for (key, value) in [
        ("modules_to_save", json!(["score"])),
        ("use_dora", json!(true)),
        ("peft_type", json!("IA3")),
        ("layers_pattern", json!("blocks")),
        ("init_lora_weights", json!("pissa_niter_4")),
    ] {
        let there = copy("gemma-mqa/adapter");
        set(&there.path().join("adapter_config.json"), key, value);
        assert_names(&adapter_error(there.path()), &[key, "not supported"]);
    }
    let there = copy("gemma-mqa/adapter");
    for (key, value) in [
        ("modules_to_save", json!([])),
        ("init_lora_weights", json!("gaussian")),
    ] {
        set(&there.path().join("adapter_config.json"), key, value);
    }
    load(&mut base("gemma-mqa"), there.path());
}

#[test]
fn patterns_that_cannot_be_read_are_named() {
    for (key, value, told) in [
        ("target_modules", json!("(q_proj"), "the pattern"),
        (
            "target_modules",
            json!(["w_proj", "lm_head"]),
            "target_modules [\"w_proj\",\"lm_head\"] match no projection",
        ),
        ("rank_pattern", json!({"q_proj": 0}), "q_proj: 0"),
        ("alpha_pattern", json!({"q_proj": "8"}), "q_proj: \"8\""),
    ] {
        let there = copy("gemma-mqa/adapter");
        set(&there.path().join("adapter_config.json"), key, value);
        assert_names(&adapter_error(there.path()), &["adapter_config.json", told]);
    }
}

#[test]
fn a_damaged_safetensors_file_is_an_error_that_names_it() {
    let assert = |file: PathBuf, error: &dyn Fn() -> String| {
        let bytes = fs::read(&file).unwrap();
        let header = 8 + usize::from_le_bytes(*bytes.first_chunk().unwrap());
        let cuts = [
            0,
            4,
            8,
            100,
            header,
            header + 1,
            bytes.len() / 2,
            bytes.len() - 1,
        ];
        let mut damaged: Vec<Vec<u8>> = cuts.map(|cut| bytes[..cut].to_vec()).to_vec();
        damaged.push([&bytes[..], b"more"].concat());
        damaged.push([&u64::MAX.to_le_bytes(), &bytes[8..]].concat());
        damaged.push([&bytes[..8], &vec![b' '; header][..]].concat());
        for bytes in damaged {
            fs::write(&file, &bytes).unwrap();
            let error = error();
            let name = file.file_name().unwrap().to_str().unwrap();
            assert_names(&error, &[name, "cannot be read as safetensors"]);
        }
    };
    let gemma = copy("gemma-gqa");
    assert(gemma.path().join("model.safetensors"), &|| {
        gemma_error(gemma.path())
    });
    let sharded = copy("gemma-mha");
    let shard = sharded.path().join("model-00003-of-00004.safetensors");
    assert(shard, &|| gemma_error(sharded.path()));
    let classifier = copy("deberta-v2");
    assert(classifier.path().join("model.safetensors"), &|| {
        classifier_error(classifier.path())
    });
    let adapter = copy("gemma-mqa/adapter");
    assert(adapter.path().join("adapter_model.safetensors"), &|| {
        adapter_error(adapter.path())
    });
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let sharded = copy("gemma-mha");
    fs::remove_file(sharded.path().join("model-00002-of-00004.safetensors")).unwrap();
    assert_names(
        &gemma_error(sharded.path()),
        &["model-00002-of-00004.safetensors", "index"],
    );
    fs::remove_file(sharded.path().join("model.safetensors.index.json")).unwrap();
    assert_names(
        &gemma_error(sharded.path()),
        &["has neither model.safetensors nor"],
    );
    fs::remove_file(sharded.path().join("config.json")).unwrap();
    assert_names(&gemma_error(sharded.path()), &["has no config.json"]);
    assert_names(
        &gemma_error(&sharded.path().join("none")),
        &["none", "no such checkpoint"],
    );

    assert_names(
        &adapter_error(&folder("gemma-mqa")),
        &["has no adapter_config.json"],
    );
    let adapter = copy("gemma-mqa/adapter");
    fs::remove_file(adapter.path().join("adapter_model.safetensors")).unwrap();
    assert_names(
        &adapter_error(adapter.path()),
        &["has no adapter_model.safetensors"],
    );
}

#[test]
fn a_config_of_another_architecture_is_an_error_that_names_both() {
    assert_names(
        &gemma_error(&folder("deberta-v3-2")),
        &["config.json", "a deberta-v2 model", "gemma, gemma2"],
    );
    assert_names(
        &classifier_error(&folder("gemma-mqa")),
        &[
            "config.json",
            "a gemma model",
            "a deberta-v2, xlm-roberta, roberta or bert model",
        ],
    );
    let there = copy("gemma-mqa");
    let config = there.path().join("config.json");
    set(&config, "model_type", json!("gemma3n"));
    assert_names(
        &gemma_error(there.path()),
        &["a gemma3n model", "gemma, gemma2"],
    );
    set(&config, "model_type", Value::Null);
    assert_names(
        &gemma_error(there.path()),
        &["names no model_type", "gemma, gemma2"],
    );
    fs::write(&config, "{\"model_type\": ").unwrap();
    assert_names(&gemma_error(there.path()), &["config.json", "EOF"]);
}

#[test]
fn a_config_that_no_model_can_have_is_an_error_that_names_the_field() {
    for (key, value, told) in [
        ("num_key_value_heads", json!(3), "num_key_value_heads, 3"),
        ("num_hidden_layers", json!(0), "num_hidden_layers is 0"),
        ("head_dim", json!(5), "head_dim is 5, but must be even"),
    ] {
        let there = copy("gemma-mqa");
        set(&there.path().join("config.json"), key, value);
        assert_names(&gemma_error(there.path()), &["config.json", told]);
    }
    for (name, key, value, told) in [
        (
            "deberta-v3-2",
            "pos_att_type",
            json!("p2c|c2q"),
            "the term c2q of pos_att_type is not supported",
        ),
        (
            "deberta-v3-2",
            "pos_att_type",
            json!(["p2p"]),
            "the term p2p of pos_att_type is not supported",
        ),
        (
            "deberta-v3-2",
            "hidden_act",
            json!("geru"),
            "the activation geru is not supported",
        ),
        (
            "xlm-roberta",
            "max_position_embeddings",
            json!(2),
            "max_position_embeddings is 2",
        ),
    ] {
        let there = copy(name);
        set(&there.path().join("config.json"), key, value);
        assert_names(&classifier_error(there.path()), &["config.json", told]);
    }
}

#[test]
fn what_each_layer_sees_is_read_as_the_file_says_it_or_refused() {
    let with = |name: &str, key: &str, value: Value| {
        let there = copy(name);
        set(&there.path().join("config.json"), key, value);
        let config = files::read_decoder_config(&Checkpoint::folder(there.path()));
        config.map_err(|error| error.to_string())
    };
    let layers = |name: &str| with(name, "unknown", json!(1)).unwrap().num_hidden_layers;
    let types = |name: &str, first: &str, n_less: usize| {
        let mut types = vec![json!("full_attention"); layers(name) - n_less];
        types[0] = json!(first);
        Value::from(types)
    };
    let key = "layer_types";
    let mixed = types("mistral", "sliding_attention", 0);
    let mistral = with("mistral", key, mixed).unwrap();
    assert_eq!(mistral.layer_types[0], LayerType::SlidingAttention);
    assert_eq!(mistral.layer_types[1], LayerType::FullAttention);
    for name in ["llama", "gemma-mqa", "qwen3", "gemma2"] {
        with(name, key, types(name, "full_attention", 0)).unwrap();
        let short = with(name, key, types(name, "full_attention", 1)).unwrap_err();
        assert_names(&short, &[key, "num_hidden_layers is"]);
        let odd = with(name, key, types(name, "chunked_attention", 0)).unwrap_err();
        assert_names(&odd, &[key, "chunked_attention"]);
    }
    for name in ["llama", "gemma-mqa"] {
        let sliding = with(name, key, types(name, "sliding_attention", 0)).unwrap_err();
        assert_names(&sliding, &[key, "has no windows"]);
    }
    let gemma4 = with("gemma4", "per_layer_config", json!({})).unwrap();
    assert_eq!(gemma4.global_head_dim, None);
    let gemma4 = with("gemma4", "per_layer_config", Value::Null).unwrap();
    assert_eq!(gemma4.global_head_dim, Some(512));
    let both_ways = with("qwen3", "is_causal", json!(false)).unwrap_err();
    assert_names(&both_ways, &["is_causal"]);
}

#[test]
fn a_head_beside_tied_embeddings_must_be_the_same_table() {
    let there = copy("gemma-mqa");
    let weights = there.path().join("model.safetensors");
    change(&weights, |tensors| {
        let table = tensors["model.embed_tokens.weight"].clone();
        tensors.insert("lm_head.weight".into(), table);
    });
    let device = device();
    let load = |folder: &Path| {
        files::load_decoder(&Checkpoint::folder(folder), Precision::default(), &device)
    };
    load(there.path()).expect("the head is the table");
    change(&weights, |tensors| {
        let head = tensors.get_mut("lm_head.weight").unwrap();
        // The exponent of the last number.
        *head.bytes.last_mut().unwrap() ^= 1;
    });
    assert_names(
        &gemma_error(there.path()),
        &["lm_head.weight differs", "tie_word_embeddings"],
    );
}
