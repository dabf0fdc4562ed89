//! The domain: personas and their statements, the judges of replies, the score, retrieval, the prompt, and a character that
//! answers.
//!
//! Nothing here trains, writes stages or reaches a network; a chat model judges through [`ChatJudge`].

mod answering;
mod benchmark;
mod character;
mod conversation;
mod established;
mod judge;
mod opening;
#[expect(clippy::module_inception, reason = "the file of the type of that name")]
mod persona;
mod prompt;
mod records;
mod retrieval;
mod role;
mod score;
mod scorer;
mod words;

#[cfg(all(test, feature = "tiny"))]
pub(crate) use answering::declines;
pub use answering::{Answering, AskedReply, Broken};
pub use benchmark::{Everyday, EverydayPair, EverydayQuestion, Share, Understanding};
pub use character::{Answer, AnswerConfig, Character};
pub use conversation::{Conversation, Exchange, Turn};
pub use established::{Listener, Told};
#[cfg(feature = "tiny")]
pub(crate) use judge::cosine;
pub use judge::{
    ChatJudge, Judge, JudgeFormat, JudgeInput, JudgeLabels, JudgeReader, JudgeSource, JudgeTask,
    JudgeTemplate, LocalJudge, Nli, NliProbabilities, Relevance, RelevanceCache, Similarity,
    find_judge, read_format, read_grading_format,
};
pub use opening::Opening;
pub use persona::Persona;
pub use prompt::{conversation_prompt, encode_prompt, encode_reply, paper_prompt, persona_prompt};
pub use records::{NliExample, PreferencePair, Query, RelevanceExample, Statement};
pub use retrieval::{RelevanceTable, relevance_of_turns};
pub use role::{Prepared, Role};
pub use score::{Score, StatementScore, score};
pub use scorer::Scorer;
