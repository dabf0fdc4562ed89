//! A judge that is a classifier on this machine.

use super::format::usual;
use super::labels::{Columns, columns};
use super::reader::JudgeReader;
use super::similarity::{self, SentenceJudge};
use super::{
    JudgeInput, JudgeSource, JudgeTask, JudgeTemplate, Nli, NliProbabilities, RelevanceCache,
};
use crate::files;
use crate::parallel::Devices;
use crate::persona::{Persona, RelevanceTable};
use crate::progress::Job;
use crate::text::{Activation, Classifier, TextProbabilities};
use crate::{Error, Result};

/// Texts that are encoded and judged at once, so that memory does not grow with the page.
const AT_ONCE: usize = 16_384;

/// A judge of this machine: a discriminator of the paper, a public classifier of sentences or pairs, or for relevance an
/// encoder of sentences.
#[derive(Clone, Debug)]
pub struct LocalJudge {
    net: Net,
    template: JudgeTemplate,
    remarks: Vec<String>,
}

#[derive(Clone, Debug)]
enum Net {
    Classes(Classes),
    Sentences(SentenceJudge),
}

/// A classifier and how it is asked.
#[derive(Clone, Debug)]
struct Classes {
    classifier: Classifier,
    template: JudgeTemplate,
    reader: JudgeReader,
    columns: Columns,
}

impl LocalJudge {
    /// Reads a judge: for relevance a classifier of two classes or of one logit, or an encoder of sentences; for NLI a
    /// classifier of three classes. Classes are found by their names.
    ///
    /// # Errors
    ///
    /// Classes of another number, or with names that are not known.
    pub fn load(source: &JudgeSource, task: JudgeTask, devices: &Devices) -> Result<Self> {
        /// Longer texts than DeBERTa's own are no statement with a query and a reply, and take minutes to read.
        const MAX_TOKENS: usize = 512;
        let checkpoint = &source.checkpoint;
        let refused = |reason: String| Error::invalid(checkpoint.name(), reason);
        let format = source.format()?;
        Self::check(source, task)?;
        if similarity::is_encoder(source)? {
            let template = source.template(task)?;
            template.check_for(task).map_err(refused)?;
            let (judge, remarks) = SentenceJudge::load(source, &template, MAX_TOKENS, devices)?;
            return Ok(Self {
                net: Net::Sentences(judge),
                template,
                remarks,
            });
        }
        // What a judge cannot be is told before its weights are read.
        let labels = files::read_classifier_config(checkpoint)?.labels;
        let by_name = columns(task, &labels, None).ok();
        let columns = columns(task, &labels, format.labels.as_ref()).map_err(refused)?;
        let mut remarks = Vec::new();
        let (name, settings) = (checkpoint.name(), task.settings());
        if columns.is_guessed {
            remarks.push(format!(
                "the labels of {} have no names: assuming the order {}; set `judge_labels` to name them",
                name,
                task.labels().join(", ")
            ));
        }
        if by_name.is_some_and(|by_name| !by_name.is_guessed && by_name.logits != columns.logits) {
            remarks.push(format!(
                "the given labels contradict config.json of {name}, which names them {}",
                labels.join(", ")
            ));
        }
        if format.template.is_none() {
            let [first, second] = usual(checkpoint, task)?;
            remarks.push(format!(
                "{} has no judge.json: using the default pair {first:?}, {second:?}; set `{settings}` to change it",
                name
            ));
        }
        let template = source.template(task)?;
        template.check_for(task).map_err(refused)?;
        let mut classifier =
            Classifier::load(checkpoint, source.precision, devices)?.with_max_tokens(MAX_TOKENS);
        if let Some(activation) = format.activation {
            let is_wrong = match activation {
                Activation::Softmax => labels.len() == 1,
                Activation::Sigmoid => task == JudgeTask::Nli,
            };
            if is_wrong {
                let reason = "a sigmoid is for relevance, a softmax for more than one class; change \"activation\" in judge.json";
                return Err(refused(reason.into()));
            }
            classifier = classifier.with_activation(activation);
        }
        let reader = JudgeReader::new(classifier.tokenizer(), &template, classifier.max_tokens())?;
        let classes = Classes {
            classifier,
            template: template.clone(),
            reader,
            columns,
        };
        Ok(Self {
            net: Net::Classes(classes),
            template,
            remarks,
        })
    }

    /// Checks, before any weights are read, that a model can judge a task.
    ///
    /// # Errors
    ///
    /// Classes of another number or with names that are not known, and an encoder of sentences for NLI.
    pub fn check(source: &JudgeSource, task: JudgeTask) -> Result<()> {
        let refused = |reason: String| Error::invalid(source.checkpoint.name(), reason);
        if similarity::is_encoder(source)? {
            let reason = "is an encoder of sentences, which judges relevance alone; name a classifier of three classes";
            return match task {
                JudgeTask::Relevance => Ok(()),
                JudgeTask::Nli => Err(refused(reason.into())),
            };
        }
        let labels = files::read_classifier_config(&source.checkpoint)?.labels;
        let format = source.format()?;
        columns(task, &labels, format.labels.as_ref())
            .map(drop)
            .map_err(refused)
    }

    fn classes(&self) -> Result<&Classes> {
        match &self.net {
            Net::Classes(classes) => Ok(classes),
            Net::Sentences(_) => Err(Error::Usage(
                "an encoder of sentences has no classes; name a classifier".into(),
            )),
        }
    }

    /// Loads a judge, and notes what a user should know of how it is used.
    ///
    /// # Errors
    ///
    /// See [`Self::load`].
    pub fn load_noting(
        source: &JudgeSource,
        task: JudgeTask,
        devices: &Devices,
        job: &Job,
    ) -> Result<Self> {
        let judge = Self::load(source, task, devices)?;
        for remark in judge.remarks() {
            job.progress.note(remark);
        }
        Ok(judge)
    }

    /// What a user should know of how this judge is used.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// How statement, query and reply become one text, or a pair.
    pub fn template(&self) -> &JudgeTemplate {
        &self.template
    }

    /// The probabilities of the classes for each text, in the order of the task's classes; see
    /// [`Classifier::probabilities`].
    ///
    /// # Errors
    ///
    /// A judge without classes.
    pub fn probabilities(&self, texts: &[String], label: &str, job: &Job) -> Result<Vec<Vec<f32>>> {
        self.classes()?.probabilities(texts, label, job)
    }

    /// As much of a reply, from its beginning, as it can read with the query and any of the statements.
    pub fn readable<'a>(
        &self,
        persona: &Persona,
        query: &str,
        response: &'a str,
    ) -> Result<&'a str> {
        self.classes()?.reader.readable(persona, query, response)
    }

    /// P(relevant) of every statement for every query; what is in the cache is not judged again. An encoder of sentences, which
    /// reads every text once, needs no cache.
    pub fn relevance(
        &self,
        cache: Option<&mut RelevanceCache>,
        persona: &Persona,
        queries: &[String],
        job: &Job,
    ) -> Result<RelevanceTable> {
        match &self.net {
            Net::Classes(classes) => classes.relevance(cache, persona, queries, job),
            Net::Sentences(judge) => judge.relevance(persona, queries, job),
        }
    }

    /// What every statement says of every (query, reply); one row a reply. Of a reply that is longer than it can read, it
    /// reads the beginning; see [`Self::readable`].
    ///
    /// # Errors
    ///
    /// A judge without classes.
    pub fn nli(
        &self,
        persona: &Persona,
        replies: &[(&str, &str)],
        job: &Job,
    ) -> Result<Vec<Vec<NliProbabilities>>> {
        self.classes()?.nli(persona, replies, job)
    }
}

impl Classes {
    fn probabilities(&self, texts: &[String], label: &str, job: &Job) -> Result<Vec<Vec<f32>>> {
        let texts = self.reader.encode_texts(texts)?;
        let tokens = self.classifier.batch_tokens();
        let rows = self.classifier.probabilities(&texts, tokens, label, job)?;
        let in_order = |row: Vec<f32>| {
            self.columns
                .logits
                .iter()
                .map(|&logit| row[logit])
                .collect()
        };
        Ok(rows.into_iter().map(in_order).collect())
    }

    fn relevance(
        &self,
        mut cache: Option<&mut RelevanceCache>,
        persona: &Persona,
        queries: &[String],
        job: &Job,
    ) -> Result<RelevanceTable> {
        let statements = &persona.statements;
        let n_texts = statements.len() * queries.len();
        let input = |idx: usize| {
            let (query_idx, statement_idx) = (idx / statements.len(), idx % statements.len());
            persona.input(&statements[statement_idx], &queries[query_idx], "")
        };
        let text = |idx: usize| self.template.render(&input(idx));
        let mut relevant: Vec<Option<f64>> = vec![None; n_texts];
        if let Some(cache) = &mut cache {
            let mark = cache.begin(statements, queries)?;
            for (idx, relevant) in relevant.iter_mut().enumerate() {
                *relevant = cache.get_before(mark, &text(idx));
            }
        }
        let unknown: Vec<usize> = (0..n_texts)
            .filter(|&idx| relevant[idx].is_none())
            .collect();
        let yes = *self.columns.logits.last().expect("a task has classes");
        let task = job.progress.task("relevance", unknown.len(), "texts");
        for piece in unknown.chunks(AT_ONCE) {
            let inputs: Vec<JudgeInput<'_>> = piece.iter().map(|&idx| input(idx)).collect();
            let texts = self.reader.encode_noting(&inputs, job)?;
            let done: Vec<Option<f64>> = match &cache {
                Some(cache) => piece.iter().map(|&idx| cache.get(&text(idx))).collect(),
                None => vec![None; piece.len()],
            };
            for (&idx, &done) in piece.iter().zip(&done) {
                relevant[idx] = done;
            }
            let mut keep = |rows: &[TextProbabilities]| {
                for (place, row) in rows {
                    let yes = f64::from(row[yes]);
                    relevant[piece[*place]] = Some(yes);
                    if let Some(cache) = &mut cache {
                        cache.insert(&text(piece[*place]), yes)?;
                    }
                }
                Ok(())
            };
            let judged = self.classifier.judge(
                &texts,
                self.classifier.batch_tokens(),
                &|place| done[place].is_some(),
                &*task,
                job,
                &mut keep,
            );
            // Also of a run that is stopped.
            if let Some(cache) = &mut cache {
                cache.flush()?;
            }
            judged?;
        }
        let relevant: Vec<f64> = relevant.into_iter().flatten().collect();
        Ok(RelevanceTable::of(&relevant, persona))
    }

    fn nli(
        &self,
        persona: &Persona,
        replies: &[(&str, &str)],
        job: &Job,
    ) -> Result<Vec<Vec<NliProbabilities>>> {
        let n_statements = persona.statements.len();
        let task = job
            .progress
            .task("entailment", n_statements * replies.len(), "texts");
        let of = |row: &[f32], class: Nli| f64::from(row[self.columns.logits[class as usize]]);
        let mut table = Vec::with_capacity(replies.len());
        for replies in replies.chunks((AT_ONCE / n_statements.max(1)).max(1)) {
            let inputs: Vec<JudgeInput<'_>> = replies
                .iter()
                .flat_map(|(query, response)| persona.inputs(query, response))
                .collect();
            let texts = self.reader.encode_noting(&inputs, job)?;
            let mut judged = vec![None; inputs.len()];
            let mut keep = |rows: &[TextProbabilities]| {
                for (place, row) in rows {
                    judged[*place] = Some(NliProbabilities {
                        contradicted: of(row, Nli::Contradicted),
                        neutral: of(row, Nli::Neutral),
                        entailed: of(row, Nli::Entailed),
                    });
                }
                Ok(())
            };
            let tokens = self.classifier.batch_tokens();
            self.classifier
                .judge(&texts, tokens, &|_| false, &*task, job, &mut keep)?;
            let judged: Vec<NliProbabilities> = judged.into_iter().flatten().collect();
            let rows = judged.chunks(n_statements.max(1));
            table.extend(rows.map(<[NliProbabilities]>::to_vec));
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use burn::tensor::Device;
    use std::path::Path;

    #[test]
    fn a_text_that_comes_twice_has_its_own_probabilities_in_both_places() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/judges/relevance");
        let judge = LocalJudge::load(
            &Checkpoint::from(folder).into(),
            JudgeTask::Relevance,
            &Device::flex().into(),
        )
        .unwrap();
        let [long, short] = ["Mira plays the cello.", "Mira sings."].map(|statement| {
            judge.template.render(&JudgeInput {
                character: "Mira",
                statement,
                query: "What do you play?",
                response: "",
            })
        });
        let judged = |texts: &[&String]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).clone()).collect();
            judge.probabilities(&texts, "", &Job::default()).unwrap()
        };
        let apart = judged(&[&long, &short]);
        assert_ne!(apart[0], apart[1]);
        let twice = judged(&[&short, &long, &short, &long]);
        assert_eq!(
            twice,
            [&apart[1], &apart[0], &apart[1], &apart[0]].map(Clone::clone)
        );
    }

    #[test]
    fn a_reply_that_is_too_long_is_read_as_far_as_it_fits() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/judges/nli");
        let judge = LocalJudge::load(
            &Checkpoint::from(folder).into(),
            JudgeTask::Nli,
            &Device::flex().into(),
        )
        .unwrap();
        let persona = Persona::new("Mira", ["Mira sings.", "Mira plays the cello."]);
        let readable = |reply| judge.readable(&persona, "What?", reply).unwrap();
        assert_eq!(readable("I sing."), "I sing.");
        let long = "小雨喜欢下雨天。".repeat(60);
        let read = readable(&long);
        let (n_read, n_long) = (read.len(), long.len());
        assert!(long.starts_with(read), "{read}");
        assert!(n_read > 200 && n_read < n_long, "{n_read} of {n_long}");
        let judged = |reply: &str| {
            let reply = [("What?", reply)];
            judge.nli(&persona, &reply, &Job::default())
        };
        for reply in [&long, read] {
            assert_eq!(judged(reply).unwrap()[0].len(), 2, "it is never refused");
        }
    }
}
