//! LoRA adapters as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use burn::module::Param;
use burn::store::bridge;
use burn::tensor::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::weights::{open, write_tensors};
use crate::nn::{Gemma, LoraConfig, Projection};
use crate::{Error, Result, files};

/// PEFT's settings that change what an adapter computes, and that the models here do not have.
const UNSUPPORTED: [&str; 12] = [
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layer_replication",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "kasa_config",
    "arrow_config",
];

/// Values of `init_lora_weights` with which PEFT changes the base model's weights, too.
const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

#[derive(Deserialize)]
struct AdapterJson {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    target_modules: Targets,
    #[serde(default)]
    use_rslora: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Targets {
    List(Vec<String>),
    Pattern(String),
}

/// The path of a factor inside PEFT's file.
fn key(layer_idx: usize, projection: Projection, factor: &str) -> String {
    let part = match projection {
        Projection::Query | Projection::Key | Projection::Value | Projection::Output => "self_attn",
        Projection::Gate | Projection::Up | Projection::Down => "mlp",
    };
    format!(
        "base_model.model.model.layers.{layer_idx}.{part}.{}.{factor}.weight",
        projection.name()
    )
}

/// Whether a setting of PEFT is absent in all but name.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => false,
    }
}

/// Reads an adapter's rank, scaling and targets.
pub fn read_lora_config(folder: &Path) -> Result<LoraConfig> {
    let path = folder.join("adapter_config.json");
    if !path.is_file() {
        return Err(Error::invalid(
            folder,
            "is no PEFT adapter: it has no adapter_config.json",
        ));
    }
    let json: AdapterJson = files::read_json(&path)?;
    let refuse = |what: &str| Err(Error::invalid(&path, format!("{what} is not supported")));
    if json.peft_type != "LORA" {
        return refuse(&format!("peft_type {}", json.peft_type));
    }
    let set = |name: &&str| json.rest.get(*name).is_some_and(|value| !is_off(value));
    let unsupported: Vec<&str> = UNSUPPORTED.into_iter().filter(set).collect();
    if !unsupported.is_empty() {
        return refuse(&unsupported.join(", "));
    }
    if let Some(name) = json.rest.get("init_lora_weights").and_then(Value::as_str)
        && CHANGES_BASE.iter().any(|prefix| name.starts_with(prefix))
    {
        return refuse(&format!("init_lora_weights {name}"));
    }
    if json.r == 0 {
        return Err(Error::invalid(&path, "r is 0"));
    }
    let targets = match json.target_modules {
        Targets::List(names) => names,
        Targets::Pattern(name) if name == "all-linear" => LoraConfig::new(1, 1.0).target_modules,
        Targets::Pattern(_) => return refuse("target_modules as a pattern"),
    };
    // rsLoRA divides by the square root of the rank.
    let alpha = if json.use_rslora {
        json.lora_alpha * (json.r as f64).sqrt()
    } else {
        json.lora_alpha
    };
    Ok(LoraConfig::new(json.r, alpha).with_target_modules(targets))
}

/// Puts an adapter's factors into a model, in place of any it had; an error leaves the model as it was.
pub fn load_adapter(model: &mut Gemma, folder: &Path, device: &Device) -> Result<LoraConfig> {
    let config = read_lora_config(folder)?;
    let path = folder.join("adapter_model.safetensors");
    if !path.is_file() {
        return Err(Error::invalid(
            folder,
            "is no PEFT adapter: it has no adapter_model.safetensors",
        ));
    }
    let mut tensors = open(std::slice::from_ref(&path))?;
    let mut problems = Vec::new();
    let mut adapted = model.without_lora();
    adapted.add_lora(&config, device);
    adapted.projections(&mut |layer_idx, projection, linear| {
        let Some(lora) = linear.lora_mut() else {
            return;
        };
        for (factor, param) in [("lora_A", &mut lora.lora_a), ("lora_B", &mut lora.lora_b)] {
            let name = key(layer_idx, projection, factor);
            let Some(tensor) = tensors.remove(&name) else {
                problems.push(format!("{name} is missing"));
                continue;
            };
            let (found, wanted) = (tensor.shape.to_vec(), param.lazy_shape().to_vec());
            if found != wanted {
                problems.push(format!("{name} has shape {found:?}, not {wanted:?}"));
                continue;
            }
            match bridge::into_data(tensor) {
                Ok(data) => {
                    let tensor = Tensor::<2>::from_data(
                        data.convert_dtype(DType::F32),
                        (device, DType::F32),
                    );
                    *param = Param::from_tensor(tensor.autodiff().require_grad());
                }
                Err(error) => problems.push(format!("{name} cannot be read: {error}")),
            }
        }
    });
    problems.extend(tensors.keys().map(|name| format!("{name} is unexpected")));
    if problems.is_empty() {
        *model = adapted;
        return Ok(config);
    }
    Err(Error::invalid(
        path,
        format!("the factors do not fit the model: {}", problems.join("; ")),
    ))
}

/// Writes a model's factors as a PEFT adapter for the model in `base`.
pub fn save_adapter(model: &Gemma, config: &LoraConfig, base: &str, folder: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    model
        .clone()
        .projections(&mut |layer_idx, projection, linear| {
            if let Some(lora) = linear.lora() {
                tensors.push((
                    key(layer_idx, projection, "lora_A"),
                    lora.lora_a.val().into_data(),
                ));
                tensors.push((
                    key(layer_idx, projection, "lora_B"),
                    lora.lora_b.val().into_data(),
                ));
            }
        });
    write_tensors(&folder.join("adapter_model.safetensors"), tensors)?;
    // The config goes last: a folder that has it is whole.
    let value = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "target_modules": config.target_modules,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
        "rank_pattern": {},
        "alpha_pattern": {},
    });
    files::write_json(&folder.join("adapter_config.json"), &value)
}
