//! A small BERT cut out of a pretrained one: every other layer, and the part of the vocabulary that is needed.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, TensorData};
use rand::RngExt;
use safetensors::{Dtype, SafeTensors};

use super::examples::example_rng;
use super::wordpieces::WordPieces;
use crate::files::{self, Checkpoint, ClassifierConfig};
use crate::nn::{RobertaConfig, RobertaKind, SequenceClassifierConfig, WeightMut, Weights};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Of so many layers in a row the first is kept.
const LAYERS_OF: usize = 2;

/// Cuts a small BERT with a fresh head out of a pretrained one, and writes it as a classifier's checkpoint.
///
/// The same files come out the same, byte by byte. Texts of kept words read the same as in the whole vocabulary.
///
/// - from: a folder as Hugging Face has it: `config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`
/// - texts: what the tokens are taken from that are kept first
/// - vocab_size: the most tokens that are kept
pub(super) fn make_base<'a>(
    from: &Path,
    texts: impl Iterator<Item = &'a str>,
    vocab_size: usize,
    seed: u64,
    folder: &Path,
    device: &Device,
) -> Result<()> {
    let checkpoint = Checkpoint::folder(from);
    let mut config = files::read_classifier_config(&checkpoint)?;
    let SequenceClassifierConfig::Roberta(bert) = &mut config.model else {
        return Err(no_bert(from));
    };
    if bert.kind != RobertaKind::Bert {
        return Err(no_bert(from));
    }
    let pieces = WordPieces::load(&from.join("tokenizer.json"))?;
    let counts = pieces.counts(&Tokenizer::load(&checkpoint)?, texts)?;
    let kept = pieces.kept(&counts, vocab_size);
    let layers: Vec<usize> = (0..bert.num_hidden_layers).step_by(LAYERS_OF).collect();
    bert.num_hidden_layers = layers.len();
    bert.vocab_size = kept.len();

    let cut = Cut::open(from, layers, kept.iter().map(|(_, id)| *id).collect(), seed)?;
    let mut model = bert.init(device);
    cut.fill(&mut model, bert, device)?;
    files::save_weights(&mut model, folder)?;
    pieces.save(&kept, &folder.join("tokenizer.json"))?;
    let options = "tokenizer_config.json";
    if checkpoint.has(options) {
        let mut options: serde_json::Value = files::read_json(&from.join(options))?;
        // Where somebody else's copy of the model lay is of no use.
        if let Some(options) = options.as_object_mut() {
            options.retain(|key, _| !["name_or_path", "special_tokens_map_file"].contains(&&**key));
        }
        files::write_json(&folder.join("tokenizer_config.json"), &options)?;
    }
    let pad_token_id = config.pad_token_id;
    let config = ClassifierConfig {
        pad_token_id: pieces.new_id(&kept, pad_token_id)?,
        ..config
    };
    // The config goes last: a folder that has it is whole.
    files::write_classifier_config(folder, &config)
}

fn no_bert(from: &Path) -> Error {
    let reason = "is no BERT; name a folder with a model such as all-MiniLM-L6-v2";
    Error::invalid(from, reason)
}

/// The tensors of the large model, and what becomes of them.
struct Cut {
    /// By their names without `bert.` in front.
    tensors: BTreeMap<String, TensorData>,
    /// Which layer each of the small model's is.
    layers: Vec<usize>,
    /// Which row each of the small model's words has.
    rows: Vec<usize>,
    seed: u64,
    path: std::path::PathBuf,
}

impl Cut {
    fn open(from: &Path, layers: Vec<usize>, rows: Vec<usize>, seed: u64) -> Result<Self> {
        let path = from.join("model.safetensors");
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let invalid = |reason: String| Error::invalid(&path, reason);
        let found = SafeTensors::deserialize(&bytes).map_err(|error| invalid(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in found.iter() {
            let dtype = match view.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                // Numbers of positions, which no model here needs.
                _ => continue,
            };
            let data =
                TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
            let name = name.strip_prefix("bert.").unwrap_or(name);
            tensors.insert(name.to_string(), data.convert_dtype(DType::F32));
        }
        Ok(Self {
            tensors,
            layers,
            rows,
            seed,
            path,
        })
    }

    /// Fills the small model; all that is missing or misshapen is told at once.
    fn fill(&self, model: &mut impl Weights, bert: &RobertaConfig, device: &Device) -> Result<()> {
        let mut problems = Vec::new();
        let mut n_fresh = 0;
        model.weights("", &mut |name, mut weight: WeightMut<'_>| {
            let shape = weight.shape();
            let data = match self.data(name) {
                Some(Ok(data)) => data,
                Some(Err(problem)) => return problems.push(problem),
                None => {
                    n_fresh += 1;
                    self.fresh(&shape, bert.initializer_range, n_fresh)
                }
            };
            if data.shape().to_vec() == shape {
                weight.set_frozen(data, DType::F32, device);
            } else {
                problems.push(format!(
                    "{name} has shape {:?}, not {shape:?}",
                    data.shape()
                ));
            }
        });
        if problems.is_empty() {
            return Ok(());
        }
        let reason = format!("does not fit config.json: {}", problems.join("; "));
        Err(Error::invalid(&self.path, reason))
    }

    /// The values of a weight of the small model; none if it is to be fresh.
    fn data(&self, name: &str) -> Option<std::result::Result<TensorData, String>> {
        let old = self.old_name(name)?;
        let data = match self.tensors.get(&old) {
            // Some are published without the pooler, which a classifier learns anyway.
            None if old.starts_with("pooler.") => return None,
            None => return Some(Err(format!("{old} is missing"))),
            Some(data) => data,
        };
        Some(match old == "embeddings.word_embeddings.weight" {
            true => self.gathered(data),
            false => Ok(data.clone()),
        })
    }

    /// What a weight of the small model is called in the large one; none if it is of the head.
    fn old_name(&self, name: &str) -> Option<String> {
        const LAYER: &str = "encoder.layer.";
        let name = name.strip_prefix("bert.")?;
        let Some((number, rest)) = name
            .strip_prefix(LAYER)
            .and_then(|rest| rest.split_once('.'))
        else {
            return Some(name.to_string());
        };
        let old = self.layers.get(number.parse::<usize>().ok()?)?;
        Some(format!("{LAYER}{old}.{rest}"))
    }

    /// The kept rows of the table of words.
    fn gathered(&self, table: &TensorData) -> std::result::Result<TensorData, String> {
        let shape = table.shape().to_vec();
        let [n_rows, width] = shape[..] else {
            return Err(format!("the table of words has shape {shape:?}"));
        };
        let values = table
            .as_slice::<f32>()
            .map_err(|error| format!("{error:?}"))?;
        let mut kept = Vec::with_capacity(self.rows.len() * width);
        for &row in &self.rows {
            if row >= n_rows {
                return Err(format!(
                    "the table of words ends at {n_rows}, but a token has id {row}"
                ));
            }
            kept.extend_from_slice(&values[row * width..(row + 1) * width]);
        }
        Ok(TensorData::new(kept, [self.rows.len(), width]))
    }

    /// Random values for a matrix, zeros for a bias.
    fn fresh(&self, shape: &[usize], std: f64, number: u64) -> TensorData {
        let mut rng = example_rng(self.seed, number);
        let n_values = shape.iter().product();
        let mut normal = || {
            let (radius, turn): (f64, f64) = (rng.random(), rng.random());
            let radius = (-2.0 * (1.0 - radius).ln()).sqrt();
            (std * radius * (std::f64::consts::TAU * turn).cos()) as f32
        };
        let values = match shape.len() {
            1 => vec![0.0; n_values],
            _ => (0..n_values).map(|_| normal()).collect(),
        };
        TensorData::new(values, shape.to_vec())
    }
}
