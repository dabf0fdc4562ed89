//! Conversations of several turns, made of queries: what is asked last, and what was said before.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::parallel::at_once;
use crate::persona::{Exchange, Query};
use crate::progress::Job;
use crate::teacher::Teacher;
use crate::text::seed_for;

/// Lets queries follow others of the same list: each comes after a random number of them, from none up to one less than `turns`.
///
/// The queries stay what they are and where they are; only how they are asked may change. Where the teacher writes no follow-up, a
/// query stays alone; returned is also whether all did for which one was wanted.
pub(super) fn in_turns(
    teacher: &dyn Teacher,
    character: &str,
    queries: Vec<Query>,
    turns: usize,
    seed: u64,
    job: &Job,
) -> Result<(Vec<Query>, bool)> {
    if turns < 2 {
        return Ok((queries, false));
    }
    let task = job.progress.task("follow-ups", queries.len(), "queries");
    let idxs: Vec<usize> = (0..queries.len()).collect();
    let asked = at_once(&idxs, teacher.concurrency(), |&idx| {
        job.check()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed_for(seed, &[6, idx as u64]));
        let n_before = rng.random_range(0..turns);
        let mut line = vec![&queries[idx]];
        while line.len() <= n_before {
            // Nobody asks again about what was told.
            let is_new = |query: &&Query| {
                let mut known = line.iter();
                known.all(|known| known.statement != query.statement)
            };
            let others: Vec<&Query> = queries.iter().filter(is_new).collect();
            let Some(other) = before(&others, line[0], &mut rng) else {
                break;
            };
            line.insert(0, other);
        }
        let asked = chain(teacher, character, &line)?;
        task.advance(1);
        Ok((asked, line.len() > 1))
    })?;
    let mut wanted = asked.iter().filter(|(_, is_wanted)| *is_wanted).peekable();
    let is_refused = wanted.peek().is_some() && wanted.all(|(query, _)| query.before.is_empty());
    let asked = asked.into_iter().map(|(query, _)| query);
    Ok((asked.collect(), is_refused))
}

/// What is asked before a query: where there are such, one that begins like it, which a follow-up can refer to.
fn before<'a>(others: &[&'a Query], next: &Query, rng: &mut ChaCha8Rng) -> Option<&'a Query> {
    let begins = |query: &str| {
        let words = query.split_whitespace().take(3);
        words.map(str::to_lowercase).collect::<Vec<_>>()
    };
    let wanted = begins(&next.query);
    let alike = others.iter().copied();
    let alike: Vec<&Query> = alike
        .filter(|other| begins(&other.query) == wanted)
        .collect();
    // Talk changes its subject, too.
    match alike.choose(rng) {
        Some(other) if rng.random_bool(0.5) => Some(other),
        _ => others.choose(rng).copied(),
    }
}

/// A line of queries as one conversation.
fn chain(teacher: &dyn Teacher, character: &str, line: &[&Query]) -> Result<Query> {
    let mut asked = line[0].query.clone();
    let mut exchanges = Vec::new();
    for pair in line.windows(2) {
        let Some(follow_up) = teacher.follow_up(character, pair[0], pair[1])? else {
            // What was joined so far would lead nowhere.
            return Ok(line[line.len() - 1].clone());
        };
        exchanges.push(Exchange {
            query: std::mem::replace(&mut asked, follow_up.query),
            response: follow_up.response,
        });
    }
    Ok(Query {
        before: exchanges,
        query: asked,
        ..line[line.len() - 1].clone()
    })
}
