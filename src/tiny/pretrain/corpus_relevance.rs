//! The relevance judge: an encoder of sentences, which learns to find a question's statement among all of a persona's.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use rand::seq::SliceRandom;

use super::corpus::Persona;
use super::corpus_judges::CorpusRun;
use super::recipe::example_rng;
use super::recipe::{Course, gentle_schedule};
use super::store::{is_there, round_all, round_words, save_in_few_bits};
use crate::Result;
use crate::files::{self, Checkpoint, ClassifierConfig, Precision};
use crate::nn::{Pooling, SequenceClassifier, WeightMut, Weights};
use crate::persona::{
    JudgeFormat, JudgeInput, JudgeReader, JudgeTask, JudgeTemplate, LocalJudge, Similarity, cosine,
};
use crate::progress::Job;
use crate::text::{EncodedText, SentenceEncoder, Tokenizer};
use crate::train::{
    AdamW, EpochLoader, Fit, RankingBatch, RankingExample, RankingModel, StepDropout, epochs_done,
    fit,
};

/// Personas of a step.
const BATCH_SIZE: usize = 2;
/// First: all but the table of words.
const LEARNING: Course<'_> = Course {
    name: "relevance",
    epochs: 3,
    learning_rate: 5e-5,
};
/// Then: what is not rounded, around the rounded matrices.
const SETTLING: Course<'_> = Course {
    name: "relevance-settling",
    epochs: 1,
    learning_rate: 2e-4,
};
/// What a question and its statement count for, against another statement, where cosines become probabilities.
const WEIGHT_OF_RELEVANT: f64 = 8.0;

fn template() -> JudgeTemplate {
    JudgeTemplate::Pair(["{query}", "{statement}"].map(String::from))
}

pub(super) fn pretrain_relevance(run: &CorpusRun<'_>, device: &Device, job: &Job) -> Result<()> {
    if is_there(&run.folder, job) {
        return Ok(());
    }
    let base = Checkpoint::folder(run.base);
    let (mut encoder, config) = files::load_encoder(&base, Precision::default(), device)?;
    run.share_tokenizer()?;
    round_words(&mut encoder);
    let mut trained = train(run, encoder, &config, &LEARNING, job)?;
    round_all(&mut trained);
    let mut trained = train(run, trained, &config, &SETTLING, job)?;
    save_in_few_bits(&mut Body(&mut trained), run.words, &run.folder, |folder| {
        files::write_classifier_config(folder, &config)
    })?;
    // From the weights as they are stored.
    let similarity = calibrate(&run.folder, &run.left_out, device, job)?;
    let format = JudgeFormat {
        similarity: Some(similarity),
        ..template().into()
    };
    format.save(&run.folder)
}

/// An encoder without the head of a classifier, which it has but does not use.
struct Body<'a>(&'a mut SequenceClassifier);

impl Weights for Body<'_> {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        self.0.weights(prefix, &mut |name, weight| {
            if !name.starts_with("classifier.") && !name.contains("pooler.") {
                visit(name, weight);
            }
        });
    }
}

fn train(
    run: &CorpusRun<'_>,
    encoder: SequenceClassifier,
    config: &ClassifierConfig,
    course: &Course<'_>,
    job: &Job,
) -> Result<SequenceClassifier> {
    let tokenizer =
        Tokenizer::load(&Checkpoint::folder(run.base))?.for_table(config.model.vocab_size())?;
    let reader = Reader::new(&tokenizer, config.max_tokens())?;
    let watched = examples(&reader, run.held_out)?;
    let valid = EpochLoader::new(watched, 1, RankingExample::len, RankingExample::collate);
    let train = loader(run, reader);
    let steps = train.steps_per_epoch(1);
    let folder = run.work.join(course.name);
    let steps_done = epochs_done(&folder, course.epochs)? * steps;
    let dropout = Some(Arc::new(StepDropout::new(run.seed, steps_done)));
    let model =
        RankingModel::new(encoder, Pooling::Mean, config.pad_token_id).with_dropout(dropout);
    let schedule = gentle_schedule(course.learning_rate, course.epochs * steps)?;
    let fitted = Fit {
        label: course.name,
        folder: &folder,
        epochs: course.epochs,
        accumulate: 1,
        metrics: &[("loss", false), ("accuracy", true)],
    };
    let optimizer = AdamW::new().into();
    let trained = fit(model, optimizer, schedule, &train, &valid, &fitted, job)?;
    let rate = train.rate();
    if rate > 0.0 {
        let told = format!("{}: {rate:.2} personas per second", course.name);
        job.progress.note(&told);
    }
    Ok(trained.encoder)
}

/// Personas in another order in each epoch, with all their questions.
fn loader(run: &CorpusRun<'_>, reader: Reader) -> EpochLoader<RankingExample, RankingBatch> {
    let (seed, learnt) = (run.seed, run.learnt.clone());
    let n_personas = learnt.len();
    let source = move |epoch: usize| {
        let mut personas: Vec<&Persona> = learnt.iter().collect();
        personas.shuffle(&mut example_rng(seed, epoch as u64));
        let examples = examples(&reader, personas);
        Arc::new(examples.expect("a vocabulary with an unknown token encodes every text"))
    };
    EpochLoader::generated(
        Arc::new(source),
        n_personas,
        BATCH_SIZE,
        RankingExample::len,
        RankingExample::collate,
    )
}

/// Encodes a question or a statement by itself.
#[derive(Clone, Debug)]
struct Reader(JudgeReader);

impl Reader {
    fn new(tokenizer: &Tokenizer, max_tokens: usize) -> Result<Self> {
        let template = JudgeTemplate::Text("{statement}".into());
        JudgeReader::new(tokenizer, &template, max_tokens).map(Self)
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<EncodedText>> {
        let inputs = texts.iter().map(|text| JudgeInput {
            character: "",
            statement: text,
            query: "",
            response: "",
        });
        let inputs: Vec<JudgeInput<'_>> = inputs.collect();
        self.0.encode(&inputs).map(|(texts, _)| texts)
    }
}

/// What a persona is asked, and for each question the index of its statement.
fn questions(persona: &Persona) -> (Vec<&str>, Vec<usize>) {
    let lines = persona
        .lines
        .iter()
        .filter(|line| line.is_about_something());
    let asked = lines.enumerate().flat_map(|(statement, line)| {
        let questions = line.questions.iter();
        questions.map(move |question| (question.as_str(), statement))
    });
    asked.unzip()
}

fn examples<'a>(
    reader: &Reader,
    personas: impl IntoIterator<Item = &'a Persona>,
) -> Result<Vec<RankingExample>> {
    let example = |persona: &Persona| {
        let (queries, targets) = questions(persona);
        Ok(RankingExample {
            queries: reader.encode(&queries)?,
            statements: reader.encode(&persona.statements())?,
            targets,
        })
    };
    personas.into_iter().map(example).collect()
}

/// Finds the sigmoid that tells best which statements of personas matter to their questions: a logistic regression, by
/// Newton's method.
fn calibrate(
    folder: &Path,
    personas: &[Persona],
    device: &Device,
    job: &Job,
) -> Result<Similarity> {
    let (pooling, devices) = (Pooling::Mean, device.clone().into());
    let encoder = SentenceEncoder::load(&folder.into(), pooling, Precision::default(), &devices)?;
    let reader = Reader::new(encoder.tokenizer(), encoder.max_tokens())?;
    // Each a cosine, and whether the statement matters.
    let mut found: Vec<(f64, bool)> = Vec::new();
    let task = job.progress.task("calibration", personas.len(), "personas");
    for persona in personas {
        let (queries, targets) = questions(persona);
        let embed = |texts: &[&str]| {
            let texts = reader.encode(texts)?;
            let quiet = Job::default();
            let task = quiet.progress.task("", texts.len(), "texts");
            encoder.embed(&texts, &*task, job)
        };
        let (queries, statements) = (embed(&queries)?, embed(&persona.statements())?);
        for (query, target) in queries.iter().zip(targets) {
            let cosines = statements.iter().map(|statement| cosine(query, statement));
            found.extend(
                cosines
                    .enumerate()
                    .map(|(idx, cosine)| (cosine, idx == target)),
            );
        }
        task.advance(1);
    }
    let (logit_scale, logit_bias) = regression(&found);
    Ok(Similarity {
        pooling: Some(Pooling::Mean),
        logit_scale,
        logit_bias,
    })
}

/// The scale and the bias of the sigmoid under which such answers are likeliest.
fn regression(found: &[(f64, bool)]) -> (f64, f64) {
    const STEPS: usize = 50;
    /// Keeps the curvature above zero where cosines tell everything, or nothing.
    const RIDGE: f64 = 1e-3;
    let (mut scale, mut bias) = (10.0, -4.0);
    for _ in 0..STEPS {
        let mut gradient = [-RIDGE * (scale - 10.0), -RIDGE * bias];
        let [mut aa, mut ab, mut bb] = [RIDGE, 0.0, RIDGE];
        for &(cosine, matters) in found {
            let probability = 1.0 / (1.0 + (-(scale * cosine + bias)).exp());
            let (weight, target) = match matters {
                true => (WEIGHT_OF_RELEVANT, 1.0),
                false => (1.0, 0.0),
            };
            let (error, curve) = (target - probability, probability * (1.0 - probability));
            gradient[0] += weight * error * cosine;
            gradient[1] += weight * error;
            aa += weight * curve * cosine * cosine;
            ab += weight * curve * cosine;
            bb += weight * curve;
        }
        let determinant = aa * bb - ab * ab;
        scale += (bb * gradient[0] - ab * gradient[1]) / determinant;
        bias += (aa * gradient[1] - ab * gradient[0]) / determinant;
    }
    (scale, bias)
}

/// The share of questions about these personas whose statement the judge in `folder` puts first.
pub(super) fn evaluate(
    folder: &Path,
    personas: &[Persona],
    device: &Device,
    job: &Job,
) -> Result<f64> {
    let source = Checkpoint::folder(folder).into();
    let judge = LocalJudge::load(&source, JudgeTask::Relevance, &device.clone().into())?;
    let (mut right, mut all) = (0, 0);
    for persona in personas {
        let (queries, targets) = questions(persona);
        let queries: Vec<String> = queries.into_iter().map(str::to_string).collect();
        let persona = crate::persona::Persona::new("", persona.statements());
        let table = judge.relevance(None, &persona, &queries, job)?;
        let found = (0..targets.len()).map(|query| table.retrieve(query, 1));
        let is_right = found
            .zip(&targets)
            .filter(|(found, target)| found[..] == [**target]);
        right += is_right.count();
        all += targets.len();
    }
    Ok(f64::from(right as u32) / f64::from(all.max(1) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_is_the_one_from_which_the_answers_were_drawn() {
        // So many of a thousand at each cosine as a sigmoid says, but that what matters weighs eight times as much.
        let drawn = (0..=10).flat_map(|place| {
            let cosine = f64::from(place) / 10.0;
            let odds = (12.0 * cosine - 6.0_f64).exp() / WEIGHT_OF_RELEVANT;
            let n_yes = (1000.0 * odds / (1.0 + odds)).round() as usize;
            (0..1000).map(move |number| (cosine, number < n_yes))
        });
        let (scale, bias) = regression(&drawn.collect::<Vec<_>>());
        assert!(
            (scale - 12.0).abs() < 0.2 && (bias + 6.0).abs() < 0.1,
            "{scale} {bias}"
        );
        // Cosines that tell everything give no infinite scale.
        let (scale, bias) = regression(&[(0.2, false), (0.8, true)]);
        assert!(scale.is_finite() && bias.is_finite(), "{scale} {bias}");
    }
}
