//! The NLI judge: a classifier of a statement and a reply.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;

use super::base::draw_head;
use super::corpus::Persona;
use super::corpus_judges::CorpusRun;
use super::neighbours::Neighbours;
use super::pairs::{Pair, nli_pairs, shares};
use super::prior::move_prior;
use super::recipe::{Course, EPOCH, HELD_OUT_STREAM, example_rng, gentle_schedule};
use super::store::{is_there, round_all, round_first_layers, round_words, save_in_few_bits};
use crate::Result;
use crate::files::{self, Checkpoint, ClassifierConfig, Precision};
use crate::nn::SequenceClassifier;
use crate::persona::{JudgeFormat, JudgeInput, JudgeReader, JudgeTemplate, Nli};
use crate::progress::Job;
use crate::text::{Classifier, Tokenizer};
use crate::train::{
    AdamW, ClassifierBatch, ClassifierExample, ClassifierModel, EpochLoader, Fit, StepDropout,
    epochs_done, fit,
};

const BATCH_SIZE: usize = 32;
/// How often the pairs are gone through before matrices are rounded.
const N_PASSES: f64 = 1.5;
/// In how many steps the layers are rounded, from the first on.
const ROUNDINGS: usize = 3;
/// Parts of a pass that each of these steps learns from.
const PARTS_PER_ROUNDING: usize = 2;
/// The learning rate of these steps at its highest, while some matrices still learn.
const ROUNDING_RATE: f64 = 5e-5;
/// That of the last step, where norms, biases and the head learn alone.
const SETTLING_RATE: f64 = 1e-4;
/// Held-out examples on which each checkpoint is measured, at most.
const WATCHED: usize = 600;
/// The shares of contradicted, neutral and entailed that scoring expects, chosen on the development set. Only one or two of forty
/// statements matter to a reply, so a false "contradicted" costs as much as a true "entailed" gains.
const SHARES_IN_SCORING: [f64; 3] = [0.002, 0.968, 0.03];

/// First the statement, then the question with the reply.
fn template() -> JudgeTemplate {
    JudgeTemplate::Pair(["{statement}", "{query} {response}"].map(String::from))
}

/// Makes the judge.
///
/// - learning_rate: at its highest
pub(super) fn pretrain_nli(
    run: &CorpusRun<'_>,
    learning_rate: f64,
    device: &Device,
    job: &Job,
) -> Result<()> {
    if is_there(&run.folder, job) {
        return Ok(());
    }
    let base = Checkpoint::folder(run.base);
    let n_labels = Nli::NAMES.len();
    let (mut trained, mut config) = files::load_classifier_body(&base, n_labels, device)?;
    run.share_tokenizer()?;
    draw_head(&mut trained, run.seed, device);
    config.labels = Nli::NAMES.map(String::from).to_vec();

    let pairs = nli_pairs(&run.learnt, run.neighbours, &mut example_rng(run.seed, 0));
    let in_training = shares(&pairs, n_labels);
    let parts = Parts::of(pairs.len());
    drop(pairs);
    let n_layers = config.model.num_hidden_layers();
    let mut n_learnt = 0;
    let n_parts_per_step = PARTS_PER_ROUNDING.min(parts.count);
    for step in 0..=ROUNDINGS {
        let (name, epochs, learning_rate) = match step {
            0 => {
                round_words(&mut trained);
                let n_parts = (N_PASSES * parts.count as f64).round() as usize;
                ("nli".to_string(), n_parts, learning_rate)
            }
            ROUNDINGS => {
                round_all(&mut trained);
                ("nli-settling".to_string(), n_parts_per_step, SETTLING_RATE)
            }
            _ => {
                round_first_layers(&mut trained, n_layers * step / ROUNDINGS);
                (
                    format!("nli-rounding-{step}"),
                    n_parts_per_step,
                    ROUNDING_RATE,
                )
            }
        };
        let course = Course {
            name: &name,
            epochs,
            learning_rate,
        };
        trained = train(run, trained, &config, parts, n_learnt, &course, job)?;
        n_learnt += epochs;
    }
    move_prior(&mut trained, &in_training, &SHARES_IN_SCORING);
    save_in_few_bits(&mut trained, run.words, &run.folder, |folder| {
        files::write_classifier_config(folder, &config)
    })?;
    // Last: a judge that has it is whole.
    JudgeFormat::from(template()).save(&run.folder)
}

/// Goes through one course.
///
/// - n_learnt: parts that earlier courses learnt from
fn train(
    run: &CorpusRun<'_>,
    classifier: SequenceClassifier,
    config: &ClassifierConfig,
    parts: Parts,
    n_learnt: usize,
    course: &Course<'_>,
    job: &Job,
) -> Result<SequenceClassifier> {
    let tokenizer =
        Tokenizer::load(&Checkpoint::folder(run.base))?.for_table(config.model.vocab_size())?;
    let reader = JudgeReader::new(&tokenizer, &template(), config.max_tokens())?;
    let valid = EpochLoader::new(
        watched(run, &reader)?,
        2 * BATCH_SIZE,
        ClassifierExample::len,
        ClassifierExample::collate,
    );
    let train = loader(run, reader, parts, n_learnt);
    let (epochs, folder) = (course.epochs, run.work.join(course.name));
    let steps = train.steps_per_epoch(1);
    let steps_done = epochs_done(&folder, epochs)? * steps;
    let dropout = Some(Arc::new(StepDropout::new(run.seed, steps_done)));
    let model = ClassifierModel::new(classifier, config.pad_token_id)
        .with_max_grad_norm(1.0)
        .with_dropout(dropout);
    let schedule = gentle_schedule(course.learning_rate, epochs * steps)?;
    let fitted = Fit {
        label: course.name,
        folder: &folder,
        epochs,
        accumulate: 1,
        metrics: &[("loss", false), ("accuracy", true)],
    };
    let optimizer = AdamW::new().into();
    let trained = fit(model, optimizer, schedule, &train, &valid, &fitted, job)?;
    let rate = train.rate();
    if rate > 0.0 {
        let told = format!("{}: {rate:.0} examples per second", course.name);
        job.progress.note(&told);
    }
    Ok(trained.classifier)
}

/// Some examples of held-out personas, which tell how training goes.
fn watched(run: &CorpusRun<'_>, reader: &JudgeReader) -> Result<Vec<ClassifierExample>> {
    let mut rng = example_rng(run.seed, HELD_OUT_STREAM);
    let mut pairs = nli_pairs(run.held_out, run.neighbours, &mut rng);
    pairs.truncate(WATCHED);
    let mut watched = encode(reader, &pairs)?;
    watched.sort_by_key(ClassifierExample::len);
    Ok(watched)
}

/// Gives a part of a pass an epoch, between which there are checkpoints: those that come after the `n_learnt` parts of earlier courses.
fn loader(
    run: &CorpusRun<'_>,
    reader: JudgeReader,
    parts: Parts,
    n_learnt: usize,
) -> EpochLoader<ClassifierExample, ClassifierBatch> {
    let (seed, learnt) = (run.seed, run.learnt.clone());
    let neighbours = run.neighbours.clone();
    let source = move |epoch: usize| {
        let (number, part) = parts.place(n_learnt, epoch);
        let pairs = nli_pairs(&learnt, &neighbours, &mut example_rng(seed, number as u64));
        let examples = encode(&reader, &pairs[part * parts.size..][..parts.size]);
        Arc::new(examples.expect("a vocabulary with an unknown token encodes every text"))
    };
    EpochLoader::generated(
        Arc::new(source),
        parts.size,
        BATCH_SIZE,
        ClassifierExample::len,
        ClassifierExample::collate,
    )
    .shuffled(seed)
}

/// The even parts of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    count: usize,
    size: usize,
}

impl Parts {
    /// Of so many examples; the few that are left over are not learnt from in that pass.
    fn of(n_examples: usize) -> Self {
        let count = n_examples.div_ceil(EPOCH).max(1);
        Self {
            count,
            size: n_examples / count,
        }
    }

    /// The pass, and the part of it, that an epoch of a course learns from after `n_learnt` parts of earlier courses. Epochs count from 1.
    fn place(self, n_learnt: usize, epoch: usize) -> (usize, usize) {
        let place = n_learnt + epoch - 1;
        (place / self.count, place % self.count)
    }
}

fn encode(reader: &JudgeReader, pairs: &[Pair<'_>]) -> Result<Vec<ClassifierExample>> {
    let inputs: Vec<JudgeInput<'_>> = pairs.iter().map(Pair::input).collect();
    let (texts, _) = reader.encode(&inputs)?;
    let examples = texts.into_iter().zip(pairs);
    let example = |(text, pair): (_, &Pair<'_>)| ClassifierExample {
        text,
        label: pair.label as usize,
    };
    Ok(examples.map(example).collect())
}

/// The share of pairs of these personas on which the judge in `folder` is right.
pub(super) fn evaluate(
    folder: &Path,
    personas: &[Persona],
    neighbours: &Neighbours,
    seed: u64,
    device: &Device,
    job: &Job,
) -> Result<f64> {
    let devices = device.clone().into();
    let classifier = Classifier::load(&folder.into(), Precision::default(), &devices)?;
    let max_tokens = classifier.max_tokens();
    let reader = JudgeReader::new(classifier.tokenizer(), &template(), max_tokens)?;
    let pairs = nli_pairs(personas, neighbours, &mut example_rng(seed, 0));
    let texts: Vec<_> = encode(&reader, &pairs)?
        .into_iter()
        .map(|example| example.text)
        .collect();
    let tokens = classifier.batch_tokens();
    let rows = classifier.probabilities(&texts, tokens, "nli", job)?;
    let likeliest = |row: &Vec<f32>| {
        let classes = row.iter().enumerate();
        classes
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map(|(label, _)| label)
    };
    let right = rows
        .iter()
        .zip(&pairs)
        .filter(|(row, pair)| likeliest(row) == Some(pair.label as usize));
    Ok(right.count() as f64 / pairs.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even_and_no_longer_than_what_lies_between_checkpoints() {
        for (n, count, size) in [(10, 1, 10), (EPOCH, 1, EPOCH), (2 * EPOCH + 5, 3, 2668)] {
            assert_eq!(Parts::of(n), Parts { count, size });
        }
    }

    #[test]
    fn a_course_goes_on_where_the_one_before_ended() {
        let parts = Parts { count: 3, size: 9 };
        let places = [(0, 1), (0, 3), (0, 4), (3, 1), (5, 2), (7, 1)];
        let found = places.map(|(n_learnt, epoch)| parts.place(n_learnt, epoch));
        assert_eq!(found, [(0, 0), (0, 2), (1, 0), (1, 0), (2, 0), (2, 1)]);
    }
}
