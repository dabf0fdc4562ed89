//! Persona statements, the judges that hold a reply against them, and the score that comes of it.

mod judge;
mod prompt;
mod records;
mod score;

pub use judge::{
    Judge, JudgeFolder, JudgeTask, JudgeTemplate, Nli, Relevance, RelevanceCache, RelevanceTable,
    find_judge, judge_nli, judge_relevance, read_template,
};
pub use prompt::{encode_prompt, encode_reply, persona_prompt, stop_ids};
pub use records::{NliExample, PreferencePair, Query, RelevanceExample, Statement};
pub use score::{Score, StatementScore, score};
