//! Embeddings to begin with, in which words of like meaning lie near each other, from those of a pretrained BERT.

use std::path::Path;

use burn::tensor::{DType, TensorData};

use super::recipe::{example_rng, normal};
use crate::files::{self, Checkpoint};
use crate::nn::{WeightMut, Weights};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// How much of an embedding is of the BERT; the rest is random, for words that differ in their case alone must not be the same.
const SHARE: f64 = 0.8;

/// Puts embeddings of a pretrained BERT, projected to the width, in place of random ones.
///
/// A token has the mean of the pieces of its small letters; those without letters stay random.
///
/// - base: a folder with a BERT as Hugging Face has it
/// - std: the standard deviation of the embeddings
pub(super) fn embeddings_of(
    base: &Path,
    tokenizer: &Tokenizer,
    hidden_size: usize,
    std: f64,
    seed: u64,
) -> Result<TensorData> {
    let (table, width) = word_table(base)?;
    let pieces = Tokenizer::load(&Checkpoint::folder(base))?;
    let rng = &mut example_rng(seed, 0);
    let projection: Vec<f64> = (0..width * hidden_size).map(|_| normal(1.0, rng)).collect();
    let mut means = Vec::with_capacity(tokenizer.vocab_size());
    for id in 0..tokenizer.vocab_size() as i32 {
        means.push(mean_of_pieces(tokenizer, id, &pieces, &table, width)?);
    }
    let known = means.iter().flatten();
    let n_known = known.clone().count().max(1) as f64;
    let mut centre = vec![0.0; width];
    for mean in known {
        for (sum, value) in centre.iter_mut().zip(mean) {
            *sum += value / n_known;
        }
    }
    let mut values = Vec::with_capacity(means.len() * hidden_size);
    for mean in &means {
        let noise: Vec<f64> = (0..hidden_size).map(|_| normal(1.0, rng)).collect();
        let Some(mean) = mean else {
            values.extend(noise.iter().map(|noise| (std * noise) as f32));
            continue;
        };
        let mut projected = vec![0.0; hidden_size];
        for (place, value) in mean.iter().enumerate() {
            let row = &projection[place * hidden_size..][..hidden_size];
            for (sum, factor) in projected.iter_mut().zip(row) {
                *sum += (value - centre[place]) * factor;
            }
        }
        let squares: f64 = projected.iter().map(|value| value * value).sum();
        let size = (squares / hidden_size as f64).sqrt().max(1e-9);
        let rest = (1.0 - SHARE * SHARE).sqrt();
        let mixed = projected.iter().zip(noise);
        values.extend(mixed.map(|(own, noise)| (std * (SHARE * own / size + rest * noise)) as f32));
    }
    Ok(TensorData::new(values, [means.len(), hidden_size]))
}

/// Sets the embeddings of a model.
pub(super) fn set_embeddings(model: &mut impl Weights, values: &TensorData) {
    model.weights("", &mut |name, weight| {
        if let ("model.embed_tokens.weight", WeightMut::Matrix(weight)) = (name, weight) {
            let device = weight.val().device();
            WeightMut::Matrix(weight).set_frozen(values.clone(), DType::F32, &device.inner());
        }
    });
}

/// The mean of the rows of a token's pieces; none for one without letters.
fn mean_of_pieces(
    tokenizer: &Tokenizer,
    id: i32,
    pieces: &Tokenizer,
    table: &[f32],
    width: usize,
) -> Result<Option<Vec<f64>>> {
    let token = tokenizer.token(id).unwrap_or_default();
    let text = token.trim_start_matches('▁').to_lowercase();
    if text.is_empty() || !text.chars().all(char::is_alphanumeric) {
        return Ok(None);
    }
    let inside = pieces.token_id(&format!("##{text}"));
    let ids = match inside {
        Some(id) if !token.starts_with('▁') => vec![id],
        _ => pieces.encode_bare(&text)?,
    };
    let mut mean = vec![0.0; width];
    for id in &ids {
        let row = table.chunks(width).nth(*id as usize).unwrap_or_default();
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += f64::from(*value) / ids.len() as f64;
        }
    }
    Ok((!ids.is_empty()).then_some(mean))
}

/// The table of words of a BERT, and its width.
pub(super) fn word_table(base: &Path) -> Result<(Vec<f32>, usize)> {
    const NAME: &str = "embeddings.word_embeddings.weight";
    let mut tensors = files::read_floats(&Checkpoint::folder(base))?;
    let table = tensors
        .remove(NAME)
        .or_else(|| tensors.remove(&format!("bert.{NAME}")));
    let invalid = |reason: String| Error::invalid(base, reason);
    let table = table.ok_or_else(|| invalid(format!("has no {NAME}, as a BERT has")))?;
    let shape = table.shape().to_vec();
    let [_, width] = shape[..] else {
        return Err(invalid(format!("has a table of words of shape {shape:?}")));
    };
    let values = table.iter::<f32>().collect();
    Ok((values, width))
}

#[cfg(test)]
mod tests {
    use super::super::base::tests::small_bert;
    use super::super::vocabulary::train_tokenizer;
    use super::*;
    use crate::nn::GemmaConfig;
    use burn::tensor::Device;

    #[test]
    fn a_word_in_either_case_lies_near_itself_and_the_size_is_the_usual() {
        let bert = small_bert();
        let folder = tempfile::tempdir().unwrap();
        let texts = vec!["The boat has a drum. the Boat? Drum boat horn oboe".to_string(); 4];
        train_tokenizer(&texts, 330, folder.path()).unwrap();
        let tokenizer = Tokenizer::load(&Checkpoint::folder(folder.path())).unwrap();
        let (width, std) = (64, 0.02);
        let made = || embeddings_of(bert.path(), &tokenizer, width, std, 3).unwrap();
        let values = made();
        assert_eq!(values, made());
        let table: Vec<f32> = values.iter::<f32>().collect();
        let row = |token: &str| {
            let id = tokenizer.token_id(token).unwrap() as usize;
            &table[id * width..][..width]
        };
        let likeness = |a: &str, b: &str| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let (a, b) = (row(a), row(b));
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let alike = likeness("▁boat", "▁Boat");
        assert!((0.3..0.95).contains(&alike), "{alike}");
        assert!(alike > likeness("▁boat", "▁drum"));
        let size =
            (table.iter().map(|value| value * value).sum::<f32>() / table.len() as f32).sqrt();
        assert!((size / 0.02 - 1.0).abs() < 0.1, "{size}");

        let device = Device::flex();
        let config = GemmaConfig::gemma_2b()
            .with_vocab_size(tokenizer.vocab_size())
            .with_hidden_size(width)
            .with_intermediate_size(16)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_num_key_value_heads(2)
            .with_head_dim(4);
        let mut gemma = config.init(&device);
        set_embeddings(&mut gemma, &values);
        let mut found = None;
        gemma.weights("", &mut |name, weight| {
            if name == "model.embed_tokens.weight" {
                found = Some(weight.to_data());
            }
        });
        assert_eq!(found.unwrap(), values);
    }

    #[test]
    fn a_base_without_words_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = safetensors::serialize(
            Vec::<(&str, safetensors::tensor::TensorView<'_>)>::new(),
            None,
        );
        std::fs::write(folder.path().join("model.safetensors"), bytes.unwrap()).unwrap();
        let told = word_table(folder.path()).unwrap_err().to_string();
        assert!(told.contains("word_embeddings"), "{told}");
    }
}
