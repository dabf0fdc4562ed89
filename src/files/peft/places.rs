//! Which projections an adapter has factors for, and of what rank and scaling, as PEFT reads its settings.

use fancy_regex::Regex;
use serde_json::{Map, Value};

use super::config::{Layers, Modules};
use super::{AdapterConfig, module_path};
use crate::nn::{LoraConfig, Projection};

impl AdapterConfig {
    /// Returns which projections get factors, with rank and scaling; fails if a pattern is not a regular expression or a rank is 0.
    pub(super) fn places(&self) -> std::result::Result<Places<'_>, String> {
        let ranks = patterns(&self.rank_pattern, |value| {
            value
                .as_u64()
                .filter(|rank| *rank > 0)
                .map(|rank| rank as usize)
        })?;
        let alphas = patterns(&self.alpha_pattern, Value::as_f64)?;
        if self.r == 0 {
            return Err("r is 0".to_string());
        }
        Ok(Places {
            config: self,
            targets: Matcher::new(&self.target_modules)?,
            excluded: self
                .exclude_modules
                .as_ref()
                .map(Matcher::new)
                .transpose()?,
            ranks,
            alphas,
        })
    }
}

/// Which modules get factors.
enum Matcher<'a> {
    All,
    Ends(&'a [String]),
    Whole(Regex),
}

impl<'a> Matcher<'a> {
    fn new(modules: &'a Modules) -> std::result::Result<Self, String> {
        Ok(match modules {
            Modules::List(names) => Self::Ends(names),
            Modules::Pattern(pattern) if pattern == "all-linear" => Self::All,
            Modules::Pattern(pattern) => Self::Whole(regex(&format!("^(?:{pattern})$"))?),
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ends(names) => names
                .iter()
                .any(|name| path == name || path.ends_with(&format!(".{name}"))),
            Self::Whole(regex) => regex.is_match(path).unwrap_or(false),
        }
    }
}

/// Where an adapter has factors, and of what rank and scaling.
pub(super) struct Places<'a> {
    config: &'a AdapterConfig,
    targets: Matcher<'a>,
    excluded: Option<Matcher<'a>>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

impl Places<'_> {
    pub(super) fn lora(&self, layer_idx: usize, projection: Projection) -> Option<LoraConfig> {
        let path = module_path(self.config.layers, layer_idx, projection);
        let in_layer = match &self.config.layers_to_transform {
            None => true,
            Some(Layers::One(layer)) => *layer == layer_idx,
            Some(Layers::List(layers)) => layers.is_empty() || layers.contains(&layer_idx),
        };
        let excluded = self
            .excluded
            .as_ref()
            .is_some_and(|excluded| excluded.matches(&path));
        if excluded || !in_layer || !self.targets.matches(&path) {
            return None;
        }
        let rank = first_match(&self.ranks, &path).unwrap_or(self.config.r);
        let alpha = first_match(&self.alphas, &path).unwrap_or(self.config.lora_alpha);
        // rsLoRA divides by the square root of the rank.
        let factor = if self.config.use_rslora {
            (rank as f64).sqrt()
        } else {
            1.0
        };
        Some(LoraConfig::new(rank, alpha * factor))
    }
}

/// PEFT's patterns with their values: each matches a path, or the end of one behind a dot.
fn patterns<T>(
    map: &Map<String, Value>,
    value_of: impl Fn(&Value) -> Option<T>,
) -> std::result::Result<Vec<(Regex, T)>, String> {
    let compiled = map.iter().map(|(pattern, value)| {
        let value =
            value_of(value).ok_or_else(|| format!("{pattern}: {value} cannot be its value"))?;
        Ok((regex(&format!(r"^(?:.*\.)?(?:{pattern})$"))?, value))
    });
    compiled.collect()
}

fn regex(pattern: &str) -> std::result::Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("the pattern {pattern} is not understood: {error}"))
}

fn first_match<T: Copy>(patterns: &[(Regex, T)], path: &str) -> Option<T> {
    let found = patterns
        .iter()
        .find(|(regex, _)| regex.is_match(path).unwrap_or(false));
    found.map(|(_, value)| *value)
}
