//! `adapter_config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{AGAIN, CONFIG};
use crate::files::Checkpoint;
use crate::files::config_json::is_off;
use crate::files::decoder::{TOWERS, has_text_part};
use crate::nn::LoraConfig;
use crate::{Error, Result, files};

/// PEFT's settings that change what an adapter computes, and that the models here do not have.
const UNSUPPORTED: [&str; 11] = [
    "use_dora",
    "monteclora_config",
    "layer_replication",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "kasa_config",
    "arrow_config",
];

/// PEFT's settings that change nothing here, whatever they are: they tell how the adapter was trained, or are checked where
/// its tensors are read.
const NEUTRAL: [&str; 22] = [
    "auto_mapping",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "modules_to_save",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "save_embedding_layers",
    "task_type",
    "velora_config",
];

/// The kind of adapter that is read and written.
const LORA: &str = "LORA";
/// Values of `init_lora_weights` with which PEFT changes the base model's weights, too.
const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

/// PEFT's `adapter_config.json` of a LoRA adapter; which projections get factors, and of what rank and scaling.
///
/// Modules are matched as PEFT does: a list names the ends of their paths, a text is a regular expression for the whole
/// path (`model.layers.0.self_attn.q_proj`), and `all-linear` means all seven projections. As in PEFT, a name of a list that
/// is no module's may stand beside others that are; targets that match no projection at all are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterConfig {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    /// Rank of the factors.
    pub r: usize,
    /// Numerator of the scaling.
    pub lora_alpha: f64,
    /// Whether the scaling is `lora_alpha / √r` in place of `lora_alpha / r`.
    #[serde(default)]
    pub use_rslora: bool,
    pub(super) target_modules: Modules,
    #[serde(default)]
    pub(super) exclude_modules: Option<Modules>,
    /// Ranks of modules whose path ends in what the key matches.
    #[serde(default)]
    pub(super) rank_pattern: Map<String, Value>,
    /// Their `lora_alpha`.
    #[serde(default)]
    pub(super) alpha_pattern: Map<String, Value>,
    #[serde(default)]
    pub(super) layers_to_transform: Option<Layers>,
    /// What changes nothing here, kept as it is.
    #[serde(flatten)]
    rest: Map<String, Value>,
    /// Where the layers are in the model that PEFT wraps.
    #[serde(skip)]
    pub(super) layers: LayersPath,
}

/// Where the layers are in the model that PEFT wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LayersPath {
    /// In a text model.
    #[default]
    Text,
    /// In the text part of a model that also sees or hears.
    TextPart,
    /// The same as it was before transformers 4.52.
    OldTextPart,
}

impl LayersPath {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Text => "model.",
            Self::TextPart => "model.language_model.",
            Self::OldTextPart => "language_model.model.",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Modules {
    List(Vec<String>),
    Pattern(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Layers {
    One(usize),
    List(Vec<usize>),
}

impl AdapterConfig {
    /// The configuration of a new adapter for the model in the folder `base`.
    pub fn new(lora: &LoraConfig, base: &str) -> Self {
        let rest = json!({
            "task_type": "CAUSAL_LM",
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "use_dora": false,
            "modules_to_save": null,
        });
        Self {
            peft_type: LORA.to_string(),
            base_model_name_or_path: Some(base.to_string()),
            r: lora.rank,
            lora_alpha: lora.alpha,
            use_rslora: false,
            target_modules: Modules::List(
                lora.target_modules
                    .iter()
                    .map(|projection| projection.name().to_string())
                    .collect(),
            ),
            exclude_modules: None,
            rank_pattern: Map::new(),
            alpha_pattern: Map::new(),
            layers_to_transform: None,
            rest: rest.as_object().cloned().unwrap_or_default(),
            layers: LayersPath::Text,
        }
        .with_base(base)
    }

    /// The same for the text part of a model that also sees or hears, if the checkpoint is one.
    ///
    /// # Errors
    ///
    /// A `config.json` that cannot be read.
    pub fn for_checkpoint(mut self, base: &Checkpoint) -> Result<Self> {
        if has_text_part(base)? {
            self.layers = LayersPath::TextPart;
            // PEFT would add factors to projections of the same name in the parts for images and sound.
            self.exclude_modules = Some(Modules::Pattern(format!(".*({}).*", TOWERS.join("|"))));
        }
        Ok(self)
    }

    /// The model that it was trained on, if it tells: a folder, or a name on the hub, with `@` and the revision if it has
    /// one.
    pub fn base(&self) -> Option<String> {
        let base = self.base_model_name_or_path.clone()?;
        match self.rest.get("revision").and_then(Value::as_str) {
            Some(revision) if !revision.is_empty() => Some(format!("{base}@{revision}")),
            _ => Some(base),
        }
    }

    /// The same for another model, named as [`Self::base`] names it; a revision goes into PEFT's own field.
    pub fn with_base(mut self, base: &str) -> Self {
        let (name, revision) = match base.split_once('@') {
            Some((name, revision)) if is_hub_name(name) => (name, json!(revision)),
            _ => (base, Value::Null),
        };
        self.base_model_name_or_path = Some(name.to_string());
        self.rest.insert("revision".to_string(), revision);
        self
    }

    /// Reads `adapter_config.json` from a folder.
    ///
    /// # Errors
    ///
    /// Settings that would change what the adapter computes and that are not supported, such as DoRA, by name.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        if !path.is_file() {
            let reason = format!("is no PEFT adapter: it has no {CONFIG}; {AGAIN}");
            return Err(Error::invalid(folder, reason));
        }
        let damaged = |error| match error {
            Error::Invalid { path, reason } => Error::invalid(path, format!("{reason}; {AGAIN}")),
            error => error,
        };
        let value: Value = files::read_json(&path).map_err(damaged)?;
        // Another kind of adapter has other keys.
        if let Some(kind) = value["peft_type"].as_str().filter(|kind| *kind != LORA) {
            let reason = format!("\"peft_type\" {kind} is not supported, only {LORA} is");
            return Err(Error::invalid(&path, reason));
        }
        let config: Self = serde_json::from_value(value)
            .map_err(|error| damaged(Error::invalid(&path, error.to_string())))?;
        config
            .check()
            .map_err(|reason| Error::invalid(&path, reason))?;
        Ok(config)
    }

    /// Drops the names of modules that were saved whole.
    pub(super) fn forget_saved_modules(&mut self) {
        self.rest.insert("modules_to_save".to_string(), Value::Null);
    }

    /// The modules that it has factors for, as the file says it.
    pub(super) fn targets(&self) -> String {
        serde_json::to_string(&self.target_modules).unwrap_or_default()
    }

    fn check(&self) -> std::result::Result<(), String> {
        let set = |name: &&str| self.rest.get(*name).is_some_and(|value| !is_off(value));
        let unsupported: Vec<&str> = UNSUPPORTED.into_iter().filter(set).collect();
        if !unsupported.is_empty() {
            return Err(format!("{} is not supported", unsupported.join(", ")));
        }
        // Whole embeddings may be the base's own, which is seen when they are read.
        let embeddings = [json!("embed_tokens"), json!("lm_head")];
        let saved = self.rest.get("modules_to_save").and_then(Value::as_array);
        let mut saved = saved.into_iter().flatten();
        if let Some(other) = saved.find(|name| !embeddings.contains(name)) {
            return Err(format!("modules_to_save with {other} is not supported"));
        }
        let unknown = self.rest.iter().find(|(name, value)| {
            let name = name.as_str();
            !is_off(value) && !NEUTRAL.contains(&name)
        });
        if let Some((name, value)) = unknown {
            return Err(format!(
                "\"{name}\" is {value}, which is not known here and may change what the adapter computes; if it does \
                 not, delete it from the file"
            ));
        }
        if !(self.lora_alpha as f32).is_finite() {
            return Err(format!(
                "\"lora_alpha\" is {}, which is too large",
                self.lora_alpha
            ));
        }
        if let Some(name) = self.rest.get("init_lora_weights").and_then(Value::as_str)
            && CHANGES_BASE.iter().any(|prefix| name.starts_with(prefix))
        {
            return Err(format!("init_lora_weights {name} is not supported"));
        }
        if let Some(pattern) = self
            .rest
            .get("layers_pattern")
            .filter(|value| !is_off(value))
            && *pattern != json!("layers")
            && *pattern != json!(["layers"])
        {
            return Err(format!("layers_pattern {pattern} is not supported"));
        }
        if self.layers_to_transform.is_some() && matches!(self.target_modules, Modules::Pattern(_))
        {
            return Err("layers_to_transform needs target_modules as a list".to_string());
        }
        self.places().map(drop)
    }
}

/// Whether a name is `owner/name`, as models on the hub are called, and no path.
fn is_hub_name(name: &str) -> bool {
    name.split_once('/').is_some_and(|(owner, model)| {
        !owner.is_empty() && !owner.starts_with('.') && !model.is_empty() && !model.contains('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Projection;

    /// The projections of layers 0, 1 and 11 that get factors, each as `layer.name rank scaling`.
    fn places(settings: Value) -> Vec<String> {
        let mut value = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 16.0});
        for (name, setting) in settings.as_object().unwrap() {
            value[name] = setting.clone();
        }
        let config: AdapterConfig = serde_json::from_value(value).unwrap();
        config.check().unwrap();
        let places = config.places().unwrap();
        let layers = [0, 1, 11].map(|layer_idx| {
            Projection::ALL.map(|projection| {
                let lora = places.lora(layer_idx, projection)?;
                let name = projection.name().trim_end_matches("_proj");
                let (rank, scaling) = (lora.rank, lora.scaling());
                Some(format!("{layer_idx}.{name} {rank} {scaling:.4}"))
            })
        });
        layers.concat().into_iter().flatten().collect()
    }

    /// The same where every rank and scaling is the adapter's own.
    fn modules(settings: Value) -> String {
        let places = places(settings);
        let names = places
            .iter()
            .map(|place| place.trim_end_matches(" 4 4.0000"));
        names.collect::<Vec<_>>().join(" ")
    }

    // Expected values from PEFT's check_target_module_exists and get_pattern_key.
    #[test]
    fn modules_are_matched_as_peft_matches_them() {
        assert_eq!(
            modules(json!({"target_modules": ["q_proj", "v_proj"], "layers_to_transform": 1})),
            "1.q 1.v"
        );
        assert_eq!(
            modules(json!({"target_modules": ["q_proj"], "layers_to_transform": [0, 11]})),
            "0.q 11.q"
        );
        assert_eq!(
            modules(json!({"target_modules": r".*\.(gate|up)_proj"})),
            "0.gate 0.up 1.gate 1.up 11.gate 11.up"
        );
        assert_eq!(
            modules(json!({"target_modules": r".*layers\.(?!1\.).*o_proj"})),
            "0.o 11.o"
        );
        assert_eq!(
            modules(json!({"target_modules": ["self_attn.k_proj", "proj"]})),
            "0.k 1.k 11.k"
        );
        assert_eq!(
            modules(json!({
                "target_modules": ["down_proj", "model.layers.1.mlp.up_proj"],
                "exclude_modules": ["layers.11.mlp.down_proj"],
            })),
            "0.down 1.up 1.down"
        );
        assert_eq!(
            modules(json!({"target_modules": "all-linear", "exclude_modules": ".*mlp.*"})),
            "0.q 0.k 0.v 0.o 1.q 1.k 1.v 1.o 11.q 11.k 11.v 11.o"
        );
    }

    #[test]
    fn ranks_and_alphas_go_by_the_first_pattern_that_matches() {
        assert_eq!(
            places(json!({
                "target_modules": ["q_proj", "k_proj", "down_proj"],
                "rank_pattern": {r"layers\.1\..*": 8, "q_proj": 2, "1.mlp.down_proj": 6},
                "alpha_pattern": {"^model.layers.0.self_attn.k_proj": 3, "(?<!k)_proj": 7},
                "use_rslora": true,
            })),
            [
                "0.q 2 11.3137",
                "0.k 4 1.5000",
                "0.down 4 8.0000",
                "1.q 8 5.6569",
                "1.k 8 5.6569",
                "1.down 8 5.6569",
                "11.q 2 11.3137",
                "11.k 4 8.0000",
                "11.down 4 8.0000",
            ]
        );
    }

    #[test]
    fn a_revision_of_the_base_is_kept_where_peft_keeps_it() {
        let lora = LoraConfig::new(2, 2.0);
        let config = AdapterConfig::new(&lora, "owner/name@0123abc");
        let value = serde_json::to_value(&config).unwrap();
        assert_eq!(value["base_model_name_or_path"], "owner/name");
        assert_eq!(value["revision"], "0123abc");
        assert_eq!(config.base().as_deref(), Some("owner/name@0123abc"));
        for base in ["embedded", "../../a@b/gemma", "gemma"] {
            let config = AdapterConfig::new(&lora, base);
            assert_eq!(config.base().as_deref(), Some(base));
        }
    }
}
