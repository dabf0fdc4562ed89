//! Preference pairs in batches: each prompt once, its replies behind it in the same sequence.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::nn::{Gemma, GemmaInput, Lengths};

/// A better and a worse reply to one prompt, and what the reference model thinks of them.
#[derive(Clone, Debug, PartialEq)]
pub struct DpoPair {
    /// The better reply's tokens, its end included.
    pub chosen: Vec<i32>,
    /// The worse reply's tokens, its end included.
    pub rejected: Vec<i32>,
    /// The reference model's summed log-probabilities of the two.
    pub reference: [f64; 2],
}

/// A prompt with its pairs, which go through the model in one sequence: the prompt once, then all replies.
#[derive(Clone, Debug, PartialEq)]
pub struct DpoExample {
    /// The prompt's tokens.
    pub prompt: Vec<i32>,
    /// The pairs of replies to it.
    pub pairs: Vec<DpoPair>,
}

/// Prompts, each packed with its replies and padded on the right to one length.
#[derive(Clone, Debug)]
pub struct DpoBatch {
    ids: Vec<Vec<i32>>,
    segments: Vec<Vec<i32>>,
    /// Where the replies of each row are, two a pair.
    pub(super) replies: Vec<Vec<Range<usize>>>,
    /// What the reference thinks of them.
    pub(super) reference: Vec<Vec<f64>>,
    /// Mean length of the chosen replies.
    pub(super) chosen_tokens: f64,
}

impl DpoExample {
    /// The number of tokens, by which batches are sorted.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.replies().map(<[i32]>::len).sum::<usize>()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All replies, each chosen one before its rejected one.
    fn replies(&self) -> impl Iterator<Item = &[i32]> {
        self.pairs
            .iter()
            .flat_map(|pair| [&pair.chosen[..], &pair.rejected])
    }

    /// Brings prompts into one batch.
    pub fn collate(examples: &[&Self]) -> DpoBatch {
        let seq = examples
            .iter()
            .map(|example| example.len())
            .max()
            .unwrap_or(0);
        let mut batch = DpoBatch {
            ids: Vec::new(),
            segments: Vec::new(),
            replies: Vec::new(),
            reference: Vec::new(),
            chosen_tokens: 0.0,
        };
        for example in examples {
            let mut ids = example.prompt.clone();
            let mut segments = vec![1; ids.len()];
            let mut replies = Vec::new();
            for (segment, reply) in (2..).zip(example.replies()) {
                replies.push(ids.len()..ids.len() + reply.len());
                ids.extend(reply);
                segments.resize(ids.len(), segment);
            }
            ids.resize(seq, 0);
            segments.resize(seq, 0);
            let reference = example.pairs.iter().flat_map(|pair| pair.reference);
            batch.ids.push(ids);
            batch.segments.push(segments);
            batch.replies.push(replies);
            batch.reference.push(reference.collect());
        }
        let pairs = examples.iter().flat_map(|example| &example.pairs);
        let chosen_tokens: usize = pairs.map(|pair| pair.chosen.len()).sum();
        batch.chosen_tokens = chosen_tokens as f64 / batch.n_pairs() as f64;
        batch
    }
}

impl DpoBatch {
    /// The number of pairs.
    pub(super) fn n_pairs(&self) -> usize {
        self.replies.iter().map(Vec::len).sum::<usize>() / 2
    }

    /// At most so many parts, each with its share of the pairs.
    pub(super) fn parts(self, n_parts: usize) -> Vec<(Self, f64)> {
        let (n_rows, n_pairs) = (self.ids.len(), self.n_pairs());
        let size = n_rows.div_ceil(n_parts).max(1);
        (0..n_rows)
            .step_by(size)
            .map(|start| {
                let range = start..(start + size).min(n_rows);
                let part = Self {
                    ids: self.ids[range.clone()].to_vec(),
                    segments: self.segments[range.clone()].to_vec(),
                    replies: self.replies[range.clone()].to_vec(),
                    reference: self.reference[range].to_vec(),
                    chosen_tokens: self.chosen_tokens,
                };
                let share = part.n_pairs() as f64 / n_pairs as f64;
                (part, share)
            })
            .collect()
    }
}

/// The summed log-probabilities of both replies of each pair: one pass over each prompt and all its replies together,
/// and logits only where a reply's token is predicted.
///
/// # Shapes
///
/// - output: `[pairs, 2]`
pub fn reply_logps(model: &Gemma, batch: &DpoBatch) -> Tensor<2> {
    let device = model.device();
    let replies = ReplyTokens::new(batch, Lengths::on(&device), &device);
    let hidden = model.hidden_states_at(replies.input(batch), None, replies.before.clone());
    replies.logps(model, hidden)
}

/// Where the replies of a batch are, which is padded to some length.
#[derive(Debug)]
pub(super) struct ReplyTokens {
    /// That length.
    seq: usize,
    /// The tokens before those of the replies, counted through the batch.
    pub(super) before: Tensor<1, Int>,
    /// The replies' tokens.
    targets: Tensor<1, Int>,
    /// Which reply each of them belongs to, `[replies, tokens]` of zeros and ones.
    belongs: Tensor<2>,
}

impl ReplyTokens {
    pub(super) fn new(batch: &DpoBatch, lengths: Lengths, device: &Device) -> Self {
        let seq = lengths.round(batch.ids.first().map_or(0, Vec::len));
        let (mut before, mut targets, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let mut n_replies = 0;
        for (row_idx, replies) in batch.replies.iter().enumerate() {
            for reply in replies {
                // The first token of each reply is predicted by the prompt's last.
                let column = |position| {
                    if position == reply.start {
                        replies[0].start - 1
                    } else {
                        position - 1
                    }
                };
                before.extend(
                    reply
                        .clone()
                        .map(|position| (row_idx * seq + column(position)) as i32),
                );
                targets.extend(&batch.ids[row_idx][reply.clone()]);
                owners.extend(std::iter::repeat_n(n_replies, reply.len()));
                n_replies += 1;
            }
        }
        // What fills up the targets belongs to no reply.
        let n_targets = lengths.round(targets.len());
        before.resize(n_targets, 0);
        targets.resize(n_targets, 0);
        owners.resize(n_targets, -1);
        let ids =
            |values| Tensor::<1, Int>::from_data(TensorData::new(values, [n_targets]), device);
        let shape = [n_replies as usize, n_targets];
        let owners = ids(owners).reshape([1, n_targets]).expand(shape);
        let replies = Tensor::<1, Int>::arange(0..i64::from(n_replies), device)
            .reshape([shape[0], 1])
            .expand(shape);
        Self {
            seq,
            before: ids(before),
            targets: ids(targets),
            belongs: owners.equal(replies).float().cast(DType::F32),
        }
    }

    pub(super) fn input(&self, batch: &DpoBatch) -> GemmaInput {
        let padded = |rows: &[Vec<i32>]| {
            let pad = |row: &Vec<i32>| {
                let mut row = row.clone();
                row.resize(self.seq, 0);
                row
            };
            rows.iter().map(pad).collect::<Vec<_>>()
        };
        let device = self.before.device();
        GemmaInput::new(&padded(&batch.ids), &padded(&batch.segments), &device)
    }

    /// The summed log-probabilities, `[pairs, 2]`, from the hidden states before the replies' tokens.
    pub(super) fn logps(&self, model: &Gemma, hidden: Tensor<2>) -> Tensor<2> {
        let logps = model.token_logps(hidden, self.targets.clone()); // [tokens]
        let logps = self.belongs.clone().matmul(logps.unsqueeze_dim(1)); // [replies, 1]
        logps.reshape([-1, 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::GemmaConfig;
    use burn::tensor::Tolerance;

    #[test]
    fn lengths_that_are_rounded_up_change_no_log_probability() {
        let device = Device::default();
        device.seed(8);
        let model = GemmaConfig::new(40, 16, 32, 2, 4, 2, 8)
            .with_initializer_range(0.3)
            .init(&device);
        let pair = |chosen: &[i32], rejected: &[i32]| DpoPair {
            chosen: chosen.to_vec(),
            rejected: rejected.to_vec(),
            reference: [0.0; 2],
        };
        let example = |pairs| DpoExample {
            prompt: vec![2, 5, 6, 7],
            pairs,
        };
        let batch = DpoExample::collate(&[
            &example(vec![pair(&[10, 11, 1], &[12, 1])]),
            &example(vec![pair(&[13, 14, 1], &[1]), pair(&[17, 1], &[18, 1])]),
        ]);
        let logps = |lengths, seq, n_targets| {
            let replies = ReplyTokens::new(&batch, lengths, &device);
            let input = replies.input(&batch);
            assert_eq!(input.input_ids.dims(), [2, seq]);
            assert_eq!(replies.before.dims(), [n_targets]);
            let hidden = model.hidden_states_at(input, None, replies.before.clone());
            replies.logps(&model, hidden).into_data()
        };
        logps(Lengths::Bucketed, 32, 32).assert_approx_eq(
            &logps(Lengths::Exact, 12, 13),
            Tolerance::<f32>::absolute(1e-5),
        );
    }
}
