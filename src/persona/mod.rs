//! Persona statements, the judges that hold a reply against them, and the score that comes of it.

mod apc;
mod cache;
mod judge;
mod prompt;
mod published;
mod records;

pub use apc::{Score, StatementScore, score};
pub use cache::RelevanceCache;
pub use judge::{
    Judge, JudgeFolder, JudgeTask, JudgeTemplate, Nli, Relevance, RelevanceTable, judge_nli,
    judge_relevance,
};
pub use prompt::{encode_prompt, encode_reply, persona_prompt, stop_ids};
pub use published::{find_judge, read_template};
pub use records::{NliExample, PreferencePair, Query, RelevanceExample, Statement};
