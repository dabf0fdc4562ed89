//! Queries about the statements: to train on, and held out.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::parallel::at_once;
use crate::persona::Query;
use crate::pipeline::record::{Output, Record, StageSpec};
use crate::pipeline::run::Run;
use crate::pipeline::stages::asked::TeacherData;
use crate::pipeline::stages::rejected::settle;
use crate::pipeline::stages::statements::check_lengths;
use crate::pipeline::stages::turns::in_turns;
use crate::progress::Job;
use crate::teacher::{Teacher, some_others};
use crate::text::seed_for;
use crate::{Error, Result, files};

pub(in crate::pipeline) fn spec(run: &Run<'_>) -> StageSpec {
    let turns = run.config.turns;
    let recorded = Record::complete(&run.layout.record("queries"));
    // What was made before there were several turns has one, and its record has no such setting.
    let is_recorded = recorded
        .is_ok_and(|record| record.is_some_and(|record| record.inputs.contains_key("turns")));
    let mut settings = json!({"seed": run.config.seed, "teacher": run.teacher.version()});
    if turns > 1 || is_recorded {
        settings["turns"] = json!(turns);
    }
    run.stage("queries")
        .with_settings(settings)
        .reads("statements", run.layout.statements())
        .writes(Output::data(run.layout.queries()))
        .writes(Output::data(run.layout.held_out_queries()))
}

pub(in crate::pipeline) fn make(run: &mut Run<'_>, statements: Vec<String>) -> Result<TeacherData> {
    let (to_train, to_evaluate) = (run.layout.queries(), run.layout.held_out_queries());
    let mut stage = run.open(spec(run))?;
    if !stage.is_complete() {
        let (config, started) = (run.config, Instant::now());
        let teacher = run.teacher.as_ref();
        let (character, seed) = (&config.character, config.seed);
        let Split { queries, held_out } = ask(teacher, character, &statements, seed, run.job)?;
        let in_turns =
            |queries, seed| in_turns(teacher, character, queries, config.turns, seed, run.job);
        let (queries, is_refused) = in_turns(queries, seed_for(seed, &[7]))?;
        let (held_out, _) = in_turns(held_out, seed_for(seed, &[8]))?;
        settle(run, "queries", started, Vec::new())?;
        if is_refused {
            let turns = config.turns;
            let reason = format!(
                "is {turns}, but the teacher writes no follow-ups; choose another `model_engine`, or 1"
            );
            return Err(Error::setting("turns", reason));
        }
        if queries.is_empty() {
            return Err(Error::Teacher(format!(
                "there is no question about any statement in {}",
                run.layout.statements().display()
            )));
        }
        stage.write_jsonl(&to_train, &queries, run.job)?;
        stage.write_jsonl(&to_evaluate, &held_out, run.job)?;
        stage.complete()?;
        run.job.progress.note(&format!(
            "{} statements, {} queries, {} more held out",
            statements.len(),
            queries.len(),
            held_out.len()
        ));
    }
    let read = |path: &Path| -> Result<Vec<Query>> {
        let queries: Vec<Query> = files::read_jsonl(path)?;
        let texts = queries.iter().enumerate().flat_map(|(line_idx, query)| {
            let said = query.before.iter();
            let said = said.flat_map(|exchange| [&exchange.query, &exchange.response]);
            said.chain([&query.query]).map(move |text| (line_idx, text))
        });
        check_lengths(path, texts)?;
        Ok(queries)
    };
    Ok(TeacherData {
        statements,
        queries: read(&to_train)?,
        held_out: read(&to_evaluate)?,
    })
}

/// Queries to train on, and others.
#[cfg_attr(test, derive(Debug, PartialEq))]
struct Split {
    queries: Vec<Query>,
    held_out: Vec<Query>,
}

/// Asks about each statement in as many rounds as the teacher needs, and splits what comes of it.
fn ask(
    teacher: &dyn Teacher,
    character: &str,
    statements: &[String],
    seed: u64,
    job: &Job,
) -> Result<Split> {
    let task = job.progress.task("queries", statements.len(), "statements");
    let idxs: Vec<u64> = (0..statements.len() as u64).collect();
    let rounds = at_once(&idxs, teacher.concurrency(), |&statement_idx| {
        let statement = &statements[statement_idx as usize];
        let mut rounds: Vec<Vec<Query>> = Vec::new();
        for round in 0..teacher.rounds() {
            job.check()?;
            let seed = seed_for(seed, &[1, statement_idx, round]);
            rounds.push(teacher.queries(character, statement, &rounds.concat(), seed)?);
        }
        task.advance(1);
        Ok(rounds)
    })?;
    Ok(split(teacher, character, rounds, seed))
}

/// A question's topic, and the wordings in which it was asked.
type Matter = (String, Vec<Query>);

/// Splits each statement's questions into at most three to train on and at most three that are held out.
///
/// Whole topics are held out, so that no held-out query is a training query in another wording; of a topic that is held
/// out one wording is asked.
fn split(teacher: &dyn Teacher, character: &str, rounds: Vec<Vec<Vec<Query>>>, seed: u64) -> Split {
    const QUERIES: usize = 3;
    let mut asked = HashSet::new();
    let (mut queries, mut held_out) = (Vec::new(), Vec::new());
    for (statement_idx, rounds) in (0..).zip(rounds) {
        let mut matters: Vec<Matter> = Vec::new();
        for round in rounds {
            if matters.len() >= 2 * QUERIES {
                break;
            }
            for query in round {
                let matter = teacher.topic(character, &query.query);
                match matters.iter_mut().find(|(known, _)| *known == matter) {
                    Some((_, wordings)) if !wordings.contains(&query) => wordings.push(query),
                    Some(_) => {}
                    // Another statement may have been asked the same.
                    None if !asked.insert(matter.clone()) => {}
                    None => matters.push((matter, vec![query])),
                }
            }
        }
        let seed = seed_for(seed, &[5, statement_idx]);
        let mut matters = some_others(&matters, usize::MAX, matters.len(), seed);
        let others = matters.split_off(matters.len().div_ceil(2));
        let first = others
            .into_iter()
            .filter_map(|(_, wordings)| wordings.into_iter().next());
        held_out.extend(first.take(QUERIES));
        // The first wording of each, then the second of each.
        let most = matters.iter().map(|(_, wordings)| wordings.len()).max();
        let in_turn = (0..most.unwrap_or(0)).flat_map(|place| {
            matters
                .iter()
                .filter_map(move |(_, wordings)| wordings.get(place))
        });
        queries.extend(in_turn.take(QUERIES).cloned());
    }
    Split { queries, held_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::{Nli, NliExample, Relevance, Statement};

    /// Asks three of eight questions, which are two wordings of four topics.
    struct Asker;

    impl Teacher for Asker {
        fn version(&self) -> String {
            "asker".into()
        }

        fn rounds(&self) -> u64 {
            8
        }

        fn statements(&self, _character: &str, _page: &str) -> Result<Vec<Statement>> {
            Ok(Vec::new())
        }

        fn topic(&self, _character: &str, query: &str) -> String {
            query.trim_end_matches(", please?").to_string()
        }

        fn queries(
            &self,
            _character: &str,
            statement: &str,
            _asked: &[Query],
            seed: u64,
        ) -> Result<Vec<Query>> {
            let words = ["Who", "What", "When", "Why"].into_iter();
            let all: Vec<Query> = words
                .flat_map(|word| ["", ", please?"].map(|end| format!("{word} {statement}{end}")))
                .map(|query| Query::new(statement, query))
                .collect();
            Ok(some_others(&all, usize::MAX, 3, seed))
        }

        fn relevance(&self, _: &str, _: &str, _: &[&str]) -> Result<Option<Vec<Relevance>>> {
            Ok(None)
        }

        fn replies(
            &self,
            _: &str,
            _: &Query,
            _: &[String],
            _: u64,
        ) -> Result<Option<Vec<NliExample>>> {
            Ok(None)
        }

        fn nli(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Option<Nli>> {
            Ok(None)
        }
    }

    #[test]
    fn queries_follow_others_about_something_else_in_as_many_turns_as_are_wanted() {
        let queries: Vec<Query> = ["sings", "swims", "sews", "sails"]
            .into_iter()
            .flat_map(|word| {
                ["Who", "When"]
                    .map(|asked| Query::new(format!("Mira {word}."), format!("{asked} {word}?")))
            })
            .collect();
        let told = |turns| {
            let teacher = crate::tiny::Offline;
            let asked = in_turns(&teacher, "Mira", queries.clone(), turns, 3, &Job::default());
            let (asked, is_refused) = asked.unwrap();
            assert!(!is_refused);
            asked
        };
        assert_eq!(told(1), queries);
        let several = told(3);
        let lengths: HashSet<usize> = several.iter().map(|query| query.before.len()).collect();
        assert_eq!(lengths, HashSet::from([0, 1, 2]));
        for (query, alone) in several.iter().zip(&queries) {
            assert_eq!(
                (&query.statement, &query.query),
                (&alone.statement, &alone.query)
            );
            for exchange in &query.before {
                let own = &query.statement["Mira ".len()..query.statement.len() - 1];
                assert!(!exchange.query.contains(own), "{query:?}");
                assert!(exchange.response.starts_with("I "), "{exchange:?}");
            }
        }
        assert_eq!(told(3), several);
        // Who writes no follow-ups is found out.
        let refused = in_turns(&Asker, "Mira", queries, 3, 3, &Job::default()).unwrap();
        assert!(refused.1 && refused.0.iter().all(|query| query.before.is_empty()));
    }

    #[test]
    fn held_out_queries_ask_what_no_other_query_asks() {
        let statements = ["sings", "swims", "sews", "sails"].map(str::to_string);
        let asked = |seed| ask(&Asker, "Mira", &statements, seed, &Job::default()).unwrap();
        let Split { queries, held_out } = asked(1);
        let topics = |queries: &[Query]| -> HashSet<String> {
            let topics = queries.iter().map(|query| Asker.topic("", &query.query));
            topics.collect()
        };
        assert!(topics(&queries).is_disjoint(&topics(&held_out)));
        assert_eq!(topics(&held_out).len(), held_out.len(), "{held_out:?}");
        assert!(held_out.len() >= statements.len(), "{held_out:?}");
        for statement in &statements {
            let own = queries.iter().filter(|query| query.statement == *statement);
            assert!((1..=3).contains(&own.count()), "{statement}");
        }
        assert_eq!(asked(1), Split { queries, held_out });
        assert_ne!(asked(1), asked(2));
    }
}
