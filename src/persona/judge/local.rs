//! A judge that is a classifier on this machine.

use super::{
    JudgeInput, JudgeSource, JudgeTask, JudgeTemplate, Nli, NliProbabilities, Relevance,
    RelevanceCache,
};
use crate::parallel::Devices;
use crate::persona::{Persona, RelevanceTable};
use crate::progress::Job;
use crate::text::{Classifier, TextProbabilities};
use crate::{Error, Result};

/// Texts that are encoded and judged at once, so that memory does not grow with the page.
const AT_ONCE: usize = 16_384;

/// A classifier of this machine as judge: a discriminator of the paper.
#[derive(Clone, Debug)]
pub struct LocalJudge {
    classifier: Classifier,
    template: JudgeTemplate,
}

impl LocalJudge {
    /// Reads a judge: for relevance of the classes no and yes, for NLI of contradicted, neutral and entailed.
    pub fn load(source: &JudgeSource, task: JudgeTask, devices: &Devices) -> Result<Self> {
        /// Longer texts than DeBERTa's own are no statement with a query and a reply, and take minutes to read.
        const MAX_TOKENS: usize = 512;
        let (checkpoint, labels) = (&source.checkpoint, task.labels());
        let classifier =
            Classifier::load(checkpoint, source.precision, devices)?.with_max_tokens(MAX_TOKENS);
        let found = classifier.labels();
        if found.len() != labels.len() {
            let reason = format!(
                "has {} classes, but {} are needed: {}",
                found.len(),
                labels.len(),
                labels.join(", ")
            );
            return Err(Error::invalid(checkpoint.name(), reason));
        }
        let named = found.iter().any(|label| labels.contains(&label.as_str()));
        if named && !found.iter().eq(labels) {
            let reason = format!(
                "its classes are {}, not {}",
                found.join(", "),
                labels.join(", ")
            );
            return Err(Error::invalid(checkpoint.name(), reason));
        }
        Ok(Self {
            classifier,
            template: source.template()?,
        })
    }

    /// How statement, query and reply become one text.
    pub fn template(&self) -> &JudgeTemplate {
        &self.template
    }

    /// The probabilities of the classes for each text; see [`Classifier::probabilities`].
    pub fn probabilities(&self, texts: &[String], label: &str, job: &Job) -> Result<Vec<Vec<f32>>> {
        let ids = self.classifier.encode(texts)?;
        self.classifier
            .probabilities(&ids, self.classifier.batch_tokens(), label, job)
    }

    /// As much of a reply, from its beginning, as it can read with the query and any of the statements.
    pub fn readable<'a>(
        &self,
        persona: &Persona,
        query: &str,
        response: &'a str,
    ) -> Result<&'a str> {
        let statements = &persona.statements;
        let most = self.classifier.max_tokens();
        let (frame, gaps) = self.template.frame();
        let fixed: usize = frame.iter().map(|text| text.len()).sum();
        let mut response = response;
        loop {
            // A token has at least one byte, but for those that are added to every text.
            const ADDED: usize = 8;
            let bytes = |statement: &String| {
                let input = persona.input(statement, query, response);
                let filled: usize = gaps.iter().map(|&gap| input.value(gap).len()).sum();
                fixed + filled + ADDED
            };
            if statements.iter().all(|statement| bytes(statement) <= most) {
                return Ok(response);
            }
            let inputs: Vec<JudgeInput<'_>> = statements
                .iter()
                .map(|statement| persona.input(statement, query, response))
                .collect();
            let ids = self.encode(&inputs)?;
            let n_tokens = ids.iter().map(Vec::len).max().unwrap_or(0);
            if n_tokens <= most || response.is_empty() {
                return Ok(response);
            }
            let n_chars = response.chars().count();
            let kept = (n_chars * most / n_tokens).min(n_chars - 1);
            let end = response
                .char_indices()
                .nth(kept)
                .map_or(response.len(), |(at, _)| at);
            response = &response[..end];
        }
    }

    /// The ids of what it reads for each input; a statement that comes again and again is tokenized once.
    fn encode(&self, inputs: &[JudgeInput<'_>]) -> Result<Vec<Vec<i32>>> {
        let (frame, gaps) = self.template.frame();
        let fillings: Vec<Vec<&str>> = inputs
            .iter()
            .map(|input| gaps.iter().map(|&gap| input.value(gap)).collect())
            .collect();
        self.classifier.encode_filled(&frame, &fillings)
    }

    /// P(relevant) of every statement for every query; what is in the cache is not judged again.
    pub fn relevance(
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
        let task = job.progress.task("relevance", unknown.len(), "texts");
        for piece in unknown.chunks(AT_ONCE) {
            let inputs: Vec<JudgeInput<'_>> = piece.iter().map(|&idx| input(idx)).collect();
            let ids = self.encode(&inputs)?;
            let done: Vec<Option<f64>> = match &cache {
                Some(cache) => piece.iter().map(|&idx| cache.get(&text(idx))).collect(),
                None => vec![None; piece.len()],
            };
            for (&idx, &done) in piece.iter().zip(&done) {
                relevant[idx] = done;
            }
            let mut keep = |rows: &[TextProbabilities]| {
                for (place, row) in rows {
                    let yes = f64::from(row[Relevance::Yes as usize]);
                    relevant[piece[*place]] = Some(yes);
                    if let Some(cache) = &mut cache {
                        cache.insert(&text(piece[*place]), yes)?;
                    }
                }
                Ok(())
            };
            let judged = self.classifier.judge(
                &ids,
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

    /// What every statement says of every (query, reply); one row a reply.
    ///
    /// # Errors
    ///
    /// A reply that is longer than it can read; see [`Self::readable`].
    pub fn nli(
        &self,
        persona: &Persona,
        replies: &[(&str, &str)],
        job: &Job,
    ) -> Result<Vec<Vec<NliProbabilities>>> {
        let (n_statements, most) = (persona.statements.len(), self.classifier.max_tokens());
        let task = job
            .progress
            .task("entailment", n_statements * replies.len(), "texts");
        let mut table = Vec::with_capacity(replies.len());
        for replies in replies.chunks((AT_ONCE / n_statements.max(1)).max(1)) {
            let inputs: Vec<JudgeInput<'_>> = replies
                .iter()
                .flat_map(|(query, response)| persona.inputs(query, response))
                .collect();
            let ids = self.encode(&inputs)?;
            if let Some(place) = ids.iter().position(|ids| ids.len() > most) {
                let (response, n_tokens) = (inputs[place].response, ids[place].len());
                let begin: String = response.chars().take(40).collect();
                return Err(Error::Usage(format!(
                    "with a statement and the query the reply \"{begin}…\" has {n_tokens} tokens, but the judge reads at \
                     most {most}; shorten it"
                )));
            }
            let mut judged = vec![None; inputs.len()];
            let mut keep = |rows: &[TextProbabilities]| {
                for (place, row) in rows {
                    judged[*place] = Some(NliProbabilities {
                        contradicted: f64::from(row[Nli::Contradicted as usize]),
                        neutral: f64::from(row[Nli::Neutral as usize]),
                        entailed: f64::from(row[Nli::Entailed as usize]),
                    });
                }
                Ok(())
            };
            let tokens = self.classifier.batch_tokens();
            self.classifier
                .judge(&ids, tokens, &|_| false, &*task, job, &mut keep)?;
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
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/relevance");
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
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/nli");
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
        let error = judged(&long).unwrap_err().to_string();
        assert!(
            error.contains("at most 512") && error.contains("小雨"),
            "{error}"
        );
        assert_eq!(judged(read).unwrap().len(), 1);
    }
}
