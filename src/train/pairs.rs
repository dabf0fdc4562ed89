//! Preference pairs in batches: each prompt once, followed by its replies, several prompts in a sequence.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::nn::{Decoder, DecoderInput, Lengths};
use crate::train::shards::balanced_parts;

/// A better and a worse reply to one prompt, with the reference model's log-probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct DpoPair {
    /// The better reply's tokens, its end included.
    pub chosen: Vec<i32>,
    /// The worse reply's tokens, its end included.
    pub rejected: Vec<i32>,
    /// The reference model's summed log-probabilities of the two.
    pub reference: [f64; 2],
}

/// A prompt with its pairs, computed in one pass: the prompt once, then all replies.
#[derive(Clone, Debug, PartialEq)]
pub struct DpoExample {
    /// The prompt's tokens.
    pub prompt: Vec<i32>,
    /// Its pairs of replies.
    pub pairs: Vec<DpoPair>,
}

/// Prompts with their pairs for one pass through the model.
#[derive(Clone, Debug)]
pub struct DpoBatch {
    examples: Vec<DpoExample>,
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
    ///
    /// # Panics
    ///
    /// If a prompt or a reply has no token, or a prompt has no pair.
    pub fn collate(examples: &[&Self]) -> DpoBatch {
        for example in examples {
            let is_whole = !example.prompt.is_empty() && !example.pairs.is_empty();
            assert!(
                is_whole && example.replies().all(|reply| !reply.is_empty()),
                "prompts and replies have tokens, and prompts have pairs"
            );
        }
        let mut batch = DpoBatch {
            examples: examples.iter().map(|&example| example.clone()).collect(),
            chosen_tokens: 0.0,
        };
        let chosen_tokens: usize = batch.pairs().map(|pair| pair.chosen.len()).sum();
        batch.chosen_tokens = chosen_tokens as f64 / batch.n_pairs() as f64;
        batch
    }
}

impl DpoBatch {
    /// The pairs, prompt after prompt.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &DpoPair> {
        self.examples.iter().flat_map(|example| &example.pairs)
    }

    /// The number of pairs.
    pub(super) fn n_pairs(&self) -> usize {
        self.pairs().count()
    }

    /// Splits the batch into at most `n_parts` of about equal tokens, each with its share of the pairs.
    pub(super) fn parts(self, n_parts: usize) -> Vec<(Self, f64)> {
        let n_pairs = self.n_pairs();
        let part = |example_idxs: Vec<usize>| {
            let examples = example_idxs
                .into_iter()
                .map(|idx| self.examples[idx].clone());
            let part = Self {
                examples: examples.collect(),
                chosen_tokens: self.chosen_tokens,
            };
            let share = part.n_pairs() as f64 / n_pairs as f64;
            (part, share)
        };
        let parts = balanced_parts(&self.lens(), n_parts);
        parts.into_iter().map(part).collect()
    }

    /// The number of tokens of each example.
    fn lens(&self) -> Vec<usize> {
        self.examples.iter().map(DpoExample::len).collect()
    }

    /// Packs examples into rows: the examples of each row, and the length of the rows.
    ///
    /// Longer rows need less padding, but attention costs more in them; this picks the number of rows with the least cost.
    fn rows(&self, lengths: Lengths) -> (Vec<Vec<usize>>, usize) {
        /// About where attention takes as long as all products with weights, or the memory of its weights as much as all
        /// other activations.
        const ATTENTION: usize = 2048;
        let lens = self.lens();
        let packed = |n_rows| {
            let rows = balanced_parts(&lens, n_rows);
            let tokens = rows
                .iter()
                .map(|row| row.iter().map(|&idx| lens[idx]).sum());
            let seq = lengths.round(tokens.max().unwrap_or(0));
            (rows, seq)
        };
        (1..=lens.len())
            .map(packed)
            .min_by_key(|(rows, seq)| rows.len() * seq * (ATTENTION + seq))
            .unwrap_or_default()
    }
}

/// Computes the summed log-probabilities of both replies of each pair: one pass over each prompt with all its replies,
/// several prompts per sequence if that saves padding, and logits only where a reply's token is predicted.
///
/// # Shapes
///
/// - output: `[pairs, 2]`
pub fn reply_logps(model: &Decoder, batch: &DpoBatch) -> Tensor<2> {
    let device = model.device();
    let replies = ReplyTokens::new(batch, Lengths::on(&device), &device);
    let hidden = model.hidden_states_at(replies.input(), None, replies.before.clone());
    replies.logps(model, hidden)
}

/// The sequences of a batch, and where its replies are in them.
#[derive(Debug)]
pub(super) struct ReplyTokens {
    ids: Vec<Vec<i32>>,
    segments: Vec<Vec<i32>>,
    /// The position of the token before each of the replies' tokens, counted through the batch.
    pub(super) before: Tensor<1, Int>,
    /// The replies' tokens.
    targets: Tensor<1, Int>,
    /// Which reply each of them belongs to, `[replies, tokens]` of zeros and ones.
    belongs: Tensor<2>,
}

impl ReplyTokens {
    pub(super) fn new(batch: &DpoBatch, lengths: Lengths, device: &Device) -> Self {
        let (rows, seq) = batch.rows(lengths);
        let (mut ids, mut segments) = (Vec::new(), Vec::new());
        let (mut before, mut targets, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let first_reply = |idx: usize| {
            let pairs = batch.examples[..idx]
                .iter()
                .map(|example| example.pairs.len());
            2 * pairs.sum::<usize>() as i32
        };
        for row in rows {
            let start = (ids.len() * seq) as i32;
            let (mut row_ids, mut row_segments) = (Vec::new(), Vec::new());
            for example_idx in row {
                let example = &batch.examples[example_idx];
                row_ids.extend(&example.prompt);
                row_segments.resize(row_ids.len(), 1);
                // The first token of each reply is predicted by the prompt's last.
                let prompt_end = start + row_ids.len() as i32 - 1;
                for (reply_idx, reply) in (0..).zip(example.replies()) {
                    let reply_start = start + row_ids.len() as i32;
                    before.extend(
                        std::iter::once(prompt_end)
                            .chain(reply_start..)
                            .take(reply.len()),
                    );
                    targets.extend(reply);
                    owners.resize(targets.len(), first_reply(example_idx) + reply_idx);
                    row_ids.extend(reply);
                    row_segments.resize(row_ids.len(), 2 + reply_idx);
                }
            }
            row_ids.resize(seq, 0);
            row_segments.resize(seq, 0);
            ids.push(row_ids);
            segments.push(row_segments);
        }
        // Padding of the targets belongs to no reply.
        let n_targets = lengths.round(targets.len());
        before.resize(n_targets, 0);
        targets.resize(n_targets, 0);
        owners.resize(n_targets, -1);
        let tensor =
            |values| Tensor::<1, Int>::from_data(TensorData::new(values, [n_targets]), device);
        let shape = [2 * batch.n_pairs(), n_targets];
        let owners = tensor(owners).reshape([1, n_targets]).expand(shape);
        let replies = Tensor::<1, Int>::arange(0..shape[0] as i64, device)
            .reshape([shape[0], 1])
            .expand(shape);
        Self {
            ids,
            segments,
            before: tensor(before),
            targets: tensor(targets),
            belongs: owners.equal(replies).float().cast(DType::F32),
        }
    }

    pub(super) fn input(&self) -> DecoderInput {
        DecoderInput::with_segments(&self.ids, &self.segments, &self.before.device())
    }

    /// The summed log-probabilities, `[pairs, 2]`, from the hidden states before the replies' tokens.
    pub(super) fn logps(&self, model: &Decoder, hidden: Tensor<2>) -> Tensor<2> {
        let logps = model.token_logps(hidden, self.targets.clone()); // [tokens]
        let logps = self.belongs.clone().matmul(logps.unsqueeze_dim(1)); // [replies, 1]
        logps.reshape([-1, 2])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nn::DecoderConfig;
    use burn::tensor::Tolerance;

    pub(in crate::train) fn model() -> Decoder {
        let device = Device::flex();
        device.seed(8);
        DecoderConfig::small().init(&device)
    }

    /// A plain one, and one with every part.
    pub(in crate::train) fn models() -> [Decoder; 2] {
        let device = Device::flex();
        let plain = model();
        [plain, DecoderConfig::small_with_all_parts().init(&device)]
    }

    pub(in crate::train) fn pair(chosen: &[i32], rejected: &[i32]) -> DpoPair {
        DpoPair {
            chosen: chosen.to_vec(),
            rejected: rejected.to_vec(),
            reference: [0.0; 2],
        }
    }

    /// A prompt of four tokens.
    pub(in crate::train) fn example(pairs: &[DpoPair]) -> DpoExample {
        DpoExample {
            prompt: vec![2, 5, 6, 7],
            pairs: pairs.to_vec(),
        }
    }

    #[test]
    fn pairs_behind_one_prompt_have_the_log_probabilities_of_pairs_behind_a_prompt_each() {
        let pairs = [
            pair(&[10, 11, 1], &[12, 1]),
            pair(&[13, 14, 15, 16, 1], &[1]),
            pair(&[17, 1], &[18, 19, 20, 1]),
        ];
        for model in models() {
            let logps = |examples: &[&DpoExample]| -> Vec<f32> {
                let batch = DpoExample::collate(examples);
                let data = reply_logps(&model, &batch).into_data();
                data.try_to_vec().unwrap()
            };
            let apart = [0, 1, 2].map(|idx| example(&pairs[idx..=idx]));
            let apart = logps(&apart.each_ref());
            let together = logps(&[&example(&pairs[..2]), &example(&pairs[2..])]);
            assert_eq!(apart.len(), 6);
            for (apart, together) in apart.iter().zip(&together) {
                assert!((apart - together).abs() < 1e-5, "{apart} {together}");
            }
        }
    }

    #[test]
    fn lengths_that_are_rounded_up_change_no_log_probability() {
        let (model, device) = (model(), Device::flex());
        let batch = DpoExample::collate(&[
            &example(&[pair(&[10, 11, 12, 13, 1], &[12, 11, 1])]),
            &example(&[pair(&[13, 14, 1], &[1]), pair(&[17, 1], &[18, 1])]),
        ]);
        let logps = |lengths, shape, n_targets| {
            let replies = ReplyTokens::new(&batch, lengths, &device);
            let input = replies.input();
            assert_eq!(input.input_ids.dims(), shape);
            assert_eq!(replies.before.dims(), [n_targets]);
            let hidden = model.hidden_states_at(input, None, replies.before.clone());
            replies.logps(&model, hidden).into_data()
        };
        logps(Lengths::Bucketed, [1, 32], 32).assert_approx_eq(
            &logps(Lengths::Exact, [2, 12], 16),
            Tolerance::<f32>::absolute(1e-5),
        );
    }

    #[test]
    fn prompts_in_one_sequence_have_the_log_probabilities_of_each_alone() {
        let (model, device) = (model(), Device::flex());
        let example = |prompt: &[i32], pairs: &[DpoPair]| DpoExample {
            prompt: prompt.to_vec(),
            pairs: pairs.to_vec(),
        };
        let long = [13, 14, 15, 16, 17, 18, 19, 20, 21, 1];
        let examples = [
            example(&[2, 5, 6], &[pair(&[10, 1], &[12, 1])]),
            example(&[2, 7, 8, 9], &[pair(&long, &[1])]),
            example(&[2, 30], &[pair(&[17, 1], &[1]), pair(&[31, 1], &[18, 1])]),
        ];
        let logps = |examples: &[&DpoExample]| -> Vec<f32> {
            let logps = reply_logps(&model, &DpoExample::collate(examples));
            logps.into_data().try_to_vec().unwrap()
        };
        let together = examples.each_ref();
        let replies = ReplyTokens::new(&DpoExample::collate(&together), Lengths::Exact, &device);
        assert_eq!(replies.input().input_ids.dims(), [1, 31]); // not three
        let apart: Vec<f32> = together.iter().flat_map(|&alone| logps(&[alone])).collect();
        let together = logps(&together);
        assert_eq!(together.len(), 8);
        for (together, apart) in together.iter().zip(&apart) {
            assert!((together - apart).abs() < 1e-5, "{together} {apart}");
        }
    }
}
