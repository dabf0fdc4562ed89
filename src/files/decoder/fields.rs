//! The settings of `config.json`, read by name.

use std::path::Path;

use serde_json::{Value, json};

use crate::files::config_json::{check_fixed, is_off};
use crate::nn::{Activation, DecoderConfig, LayerType, RopeParameters, RopeType};
use crate::{Error, Result};

/// The settings of a text model; numbers may be written as integers or not, and null is as good as absent.
pub(super) struct Fields<'a> {
    path: &'a Path,
    /// The name of the part of the file that they are, if they are not the whole.
    part: Option<&'a str>,
    values: &'a Value,
    /// The whole file.
    outer: &'a Value,
}

const LAYER_TYPES: &str = "layer_types";
const SLIDING: &str = "sliding_attention";
/// What no decoder here has.
const UNSUPPORTED: [&str; 8] = [
    "is_encoder_decoder",
    "add_cross_attention",
    "enable_moe_block",
    "use_qk_norm",
    "no_rope_layers",
    "altup_num_inputs",
    "laurel_rank",
    "mrope_section",
];
/// What is supported only if it is one, where it changes nothing.
const MUST_BE_ONE: [&str; 7] = [
    "logit_scale",
    "logits_scaling",
    "residual_multiplier",
    "embedding_multiplier",
    "attention_multiplier",
    "num_local_experts",
    "partial_rotary_factor",
];

impl<'a> Fields<'a> {
    /// The settings of the whole file, or of its part `text_config`.
    pub(super) fn of_text(path: &'a Path, value: &'a Value) -> Result<Self> {
        const TEXT: &str = "text_config";
        let inner = value.get(TEXT).filter(|inner| inner.is_object());
        let fields = Self {
            path,
            part: inner.map(|_| TEXT),
            values: inner.unwrap_or(value),
            outer: value,
        };
        let one = [json!(1)];
        let off = UNSUPPORTED.iter().map(|key| (*key, &[][..]));
        let ones = MUST_BE_ONE.iter().map(|key| (*key, &one[..]));
        fields.check(&off.chain(ones).collect::<Vec<_>>())?;
        if fields.flag("is_causal")? == Some(false) {
            let reason =
                "\"is_causal\" is false: a text would be seen both ways, which is not supported";
            return Err(fields.invalid(reason));
        }
        Ok(fields)
    }

    /// The settings of a part of these.
    ///
    /// # Errors
    ///
    /// Something else than an object.
    fn within(&self, key: &'a str) -> Result<Option<Fields<'a>>> {
        match self.values.get(key).filter(|values| !is_off(values)) {
            None => Ok(None),
            Some(values) if values.is_object() => Ok(Some(self.part(key, values))),
            Some(other) => {
                Err(self.invalid(format!("\"{key}\" is {other}, but must be an object")))
            }
        }
    }

    fn part(&self, key: &'a str, values: &'a Value) -> Fields<'a> {
        Fields {
            part: Some(key),
            values,
            ..*self
        }
    }

    /// The settings by name.
    fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.values.as_object().into_iter().flatten()
    }

    /// An error about these settings.
    pub(super) fn invalid(&self, reason: impl AsRef<str>) -> Error {
        let reason = reason.as_ref();
        match self.part {
            Some(part) => Error::invalid(self.path, format!("in \"{part}\": {reason}")),
            None => Error::invalid(self.path, reason),
        }
    }

    /// Refuses settings by name unless they have one of the values that change nothing.
    pub(super) fn check(&self, fixed: &[(&str, &[Value])]) -> Result<()> {
        check_fixed(self.path, self.values, fixed).map_err(|error| match (error, self.part) {
            (Error::Invalid { reason, .. }, Some(_)) => self.invalid(reason),
            (error, _) => error,
        })
    }

    /// A setting, if it is there.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether a setting is there and null, where that means something else than its absence.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(Value::is_null)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let wrong = || self.invalid(format!("\"{key}\" is {value}, but must be a number"));
        value.as_f64().map(Some).ok_or_else(wrong)
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        /// No model has so many of anything.
        const MOST: f64 = 9e15;
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let whole = |number: f64| number.fract() == 0.0 && (0.0..MOST).contains(&number);
        let size = value.as_f64().filter(|number| whole(*number));
        let size = size.map(|number| number as usize);
        let wrong = || {
            self.invalid(format!(
                "\"{key}\" is {value}, but must be a whole number from 0 to {MOST:.0e}"
            ))
        };
        size.map(Some).ok_or_else(wrong)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let wrong = || self.invalid(format!("\"{key}\" is {value}, but must be true or false"));
        value.as_bool().map(Some).ok_or_else(wrong)
    }

    fn required(&self, key: &str) -> Result<usize> {
        let missing = || self.invalid(format!("missing field `{key}`"));
        self.size(key)?.ok_or_else(missing)
    }

    /// The shape that all families write under the same names; what is missing is that of `defaults`.
    pub(super) fn shape(&self, defaults: DecoderConfig) -> Result<DecoderConfig> {
        let size = |key, default| Ok::<_, Error>(self.size(key)?.unwrap_or(default));
        // In a file for several modalities this may stand outside.
        let tied = self
            .outer
            .get("tie_word_embeddings")
            .and_then(Value::as_bool);
        let tied = self.flag("tie_word_embeddings")?.or(tied);
        let tied = tied.unwrap_or(defaults.tie_word_embeddings);
        let eps = self.number("rms_norm_eps")?;
        Ok(DecoderConfig {
            vocab_size: size("vocab_size", defaults.vocab_size)?,
            hidden_size: size("hidden_size", defaults.hidden_size)?,
            intermediate_size: size("intermediate_size", defaults.intermediate_size)?,
            num_hidden_layers: size("num_hidden_layers", defaults.num_hidden_layers)?,
            num_attention_heads: size("num_attention_heads", defaults.num_attention_heads)?,
            num_key_value_heads: size("num_key_value_heads", defaults.num_key_value_heads)?,
            head_dim: size("head_dim", defaults.head_dim)?,
            rms_norm_eps: eps.unwrap_or(defaults.rms_norm_eps),
            max_position_embeddings: size(
                "max_position_embeddings",
                defaults.max_position_embeddings,
            )?,
            tie_word_embeddings: tied,
            ..defaults
        })
    }

    /// The same for families whose files name every size; key and value heads are by default as many as those of queries, and
    /// a head is by default `head_dim` wide, or else `hidden_size / num_attention_heads`.
    pub(super) fn whole_shape(
        &self,
        defaults: DecoderConfig,
        head_dim: Option<usize>,
    ) -> Result<DecoderConfig> {
        for key in [
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
        ] {
            self.required(key)?;
        }
        let heads = self.required("num_attention_heads")?;
        let width = self.required("hidden_size")?.checked_div(heads);
        let head_dim = head_dim.or(width).unwrap_or(0);
        self.shape(
            defaults
                .with_num_key_value_heads(heads)
                .with_head_dim(head_dim),
        )
    }

    /// The activation of the gate, of those that `allowed` names; by default the first.
    pub(super) fn activation(&self, key: &str, allowed: &[&str]) -> Result<Activation> {
        let names: Vec<Value> = allowed.iter().map(|name| json!(name)).collect();
        self.check(&[(key, &names)])?;
        let name = self.get(key).and_then(Value::as_str).unwrap_or(allowed[0]);
        // The first Gemmas say gelu and mean its tanh form.
        Ok(match Activation::from_name(name) {
            Some(Activation::Silu) => Activation::Silu,
            _ => Activation::GeluPytorchTanh,
        })
    }

    /// What each of so many layers sees, if the file says it.
    pub(super) fn layer_types(&self, n_layers: usize) -> Result<Option<Vec<LayerType>>> {
        let Some(value) = self.get(LAYER_TYPES).filter(|value| !is_off(value)) else {
            return Ok(None);
        };
        let Some(names) = value.as_array() else {
            return Err(self.invalid(format!("\"{LAYER_TYPES}\" is no list")));
        };
        if names.len() != n_layers {
            let n_names = names.len();
            let reason = format!(
                "\"{LAYER_TYPES}\" names {n_names} layers, but num_hidden_layers is {n_layers}"
            );
            return Err(self.invalid(reason));
        }
        let named = |name: &Value| {
            match name.as_str() {
            Some("full_attention") => Ok(LayerType::FullAttention),
            Some(SLIDING) => Ok(LayerType::SlidingAttention),
            _ => Err(self.invalid(format!(
                "\"{LAYER_TYPES}\" names {name}, but only full_attention and {SLIDING} are supported"
            ))),
        }
        };
        names.iter().map(named).collect::<Result<_>>().map(Some)
    }

    /// Refuses layers with a window in a model that has none.
    pub(super) fn check_no_windows(&self, n_layers: usize, why: &str) -> Result<()> {
        let types = self.layer_types(n_layers)?.unwrap_or_default();
        if types.contains(&LayerType::SlidingAttention) {
            return Err(self.invalid(format!("\"{LAYER_TYPES}\" names {SLIDING}, but {why}")));
        }
        Ok(())
    }

    /// The rotary angles of all layers: transformers 5 keeps them in `rope_parameters`, transformers 4 in `rope_theta` and
    /// `rope_scaling`. Where both are there, `rope_scaling` counts, as in transformers.
    pub(super) fn rope(&self, theta: f64) -> Result<RopeParameters> {
        let theta = self.number("rope_theta")?.unwrap_or(theta);
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(fields) = self.within(key)? else {
                continue;
            };
            // Angles by the kind of layer are those of Gemma 3 and 4.
            if let Some((kind, _)) = fields.entries().find(|(_, value)| value.is_object()) {
                let reason = format!("\"{key}\" has angles for {kind}, which is not supported");
                return Err(self.invalid(reason));
            }
            return fields.rope_parameters(theta);
        }
        Ok(RopeParameters::new(theta))
    }

    /// The rotary angles of layers that see everything and of those that slide; transformers 4 keeps the latter's base in
    /// `rope_local_base_freq`.
    pub(super) fn ropes(
        &self,
        full: RopeParameters,
        sliding: RopeParameters,
    ) -> Result<[RopeParameters; 2]> {
        let parameters = self.within("rope_parameters")?;
        let theta = |key, default: RopeParameters| -> Result<RopeParameters> {
            let theta = self.number(key)?.unwrap_or(default.rope_theta);
            Ok(RopeParameters {
                rope_theta: theta,
                ..default
            })
        };
        // What stands outside is the default of what stands inside.
        let (full, sliding) = (
            theta("rope_theta", full)?,
            theta("rope_local_base_freq", sliding)?,
        );
        let of = |kind: &'static str, default: RopeParameters| -> Result<Option<RopeParameters>> {
            let fields = parameters.as_ref().map(|fields| fields.within(kind));
            let Some(fields) = fields.transpose()?.flatten() else {
                return Ok(None);
            };
            let read = fields.rope_parameters(default.rope_theta)?;
            let named = fields.get("rope_type").is_some();
            Ok(Some(if named {
                read
            } else {
                RopeParameters {
                    rope_type: default.rope_type,
                    ..read
                }
            }))
        };
        let (own_full, own_sliding) = (
            of("full_attention", full)?,
            of("sliding_attention", sliding)?,
        );
        if let Some(fields) = &parameters
            && own_full.is_none()
            && own_sliding.is_none()
        {
            let reason =
                "has neither full_attention nor sliding_attention, which this model has angles for";
            return Err(fields.invalid(reason));
        }
        let (own_full, own_sliding) = (own_full.unwrap_or(full), own_sliding.unwrap_or(sliding));
        match self.within("rope_scaling")? {
            Some(fields) => Ok([fields.rope_parameters(own_full.rope_theta)?, own_sliding]),
            None => Ok([own_full, own_sliding]),
        }
    }

    /// One set of rotary angles.
    fn rope_parameters(&self, theta: f64) -> Result<RopeParameters> {
        let theta = self.number("rope_theta")?.unwrap_or(theta);
        let name = self.get("rope_type").or(self.get("type"));
        let name = match name.map(|name| (name, name.as_str())) {
            None => "default",
            Some((_, Some(name))) => name,
            Some((other, None)) => {
                let reason = format!("\"rope_type\" is {other}, but must be a name");
                return Err(self.invalid(reason));
            }
        };
        let one = [json!(1)];
        let needed = |key: &str| {
            let missing = || self.invalid(format!("missing field `{key}`"));
            self.number(key)?.ok_or_else(missing)
        };
        let rope_type = match name {
            "default" => {
                self.check(&[("factor", &one)])?;
                RopeType::Default
            }
            "linear" => RopeType::Linear {
                factor: needed("factor")?,
            },
            "llama3" => RopeType::Llama3 {
                factor: needed("factor")?,
                low_freq_factor: needed("low_freq_factor")?,
                high_freq_factor: needed("high_freq_factor")?,
                original_max_position_embeddings: needed("original_max_position_embeddings")?,
            },
            "proportional" => RopeType::Proportional {
                partial_rotary_factor: self.number("partial_rotary_factor")?.unwrap_or(1.0),
            },
            _ => {
                let key = if self.get("rope_type").is_some() {
                    "rope_type"
                } else {
                    "type"
                };
                return Err(self.invalid(format!(
                    "\"{key}\" is \"{name}\", which is not supported; only default, linear, llama3 and proportional can be read"
                )));
            }
        };
        let mut fixed = vec![("attention_factor", &one[..]), ("mrope_section", &[])];
        if name != "proportional" {
            fixed.push(("partial_rotary_factor", &one));
        } else {
            fixed.push(("factor", &one));
        }
        self.check(&fixed)?;
        Ok(RopeParameters::new(theta).with_rope_type(rope_type))
    }

    /// What layers of a kind have that others have not: `per_layer_config`, as transformers 5 keeps it, by the layer's index.
    ///
    /// Returns head size and key and value heads of the layers that see everything, which must all have the same.
    pub(super) fn global_layers(
        &self,
        layer_types: &[LayerType],
    ) -> Result<Option<[Option<usize>; 2]>> {
        const KEY: &str = "per_layer_config";
        // An empty one says that no layer differs.
        let fields = match self.get(KEY) {
            None => return Ok(None),
            Some(values) if values.is_object() => self.part(KEY, values),
            Some(other) => {
                return Err(self.invalid(format!("\"{KEY}\" is {other}, but must be an object")));
            }
        };
        let mut found: Option<[Option<usize>; 2]> = None;
        let mut layers = 0;
        for (layer, settings) in fields.entries() {
            let layer_idx: Option<usize> = layer.parse().ok();
            let layer_type = layer_idx.and_then(|layer_idx| layer_types.get(layer_idx));
            if !settings.is_object() {
                return Err(
                    fields.invalid(format!("\"{layer}\" is {settings}, but must be an object"))
                );
            }
            let own = fields.part(layer, settings);
            let known = ["head_dim", "num_key_value_heads"];
            let others = own
                .entries()
                .find(|(key, _)| !known.contains(&key.as_str()));
            let values = [own.size(known[0])?, own.size(known[1])?];
            let same = found.is_none_or(|found| found == values);
            if layer_type != Some(&LayerType::FullAttention) || others.is_some() || !same {
                return Err(self.invalid(format!(
                    "\"{KEY}\" changes layer {layer} in a way that is not supported: only head_dim and num_key_value_heads of all layers with full_attention, in the same way"
                )));
            }
            found = Some(values);
            layers += 1;
        }
        let global = layer_types
            .iter()
            .filter(|kind| **kind == LayerType::FullAttention);
        if found.is_some() && layers != global.count() {
            return Err(self.invalid(format!("\"{KEY}\" changes some layers with full_attention and not others, which is not supported")));
        }
        Ok(Some(found.unwrap_or_default()))
    }
}
