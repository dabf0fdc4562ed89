//! Which request parameters a server supports, and which to change after an error.

use std::fmt;

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage,
    ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
    CreateChatCompletionRequest, ResponseFormat, ResponseFormatJsonSchema,
};
use serde_json::{Value, json};

use super::refusal::ServerError;
use super::sizes::{self, Sizes};
use crate::teacher::chat::model::{Question, without_system};
use crate::text::Message;

/// Alternatives of a token that are asked for.
const TOP_LOGPROBS: u8 = 10;
/// The shortest limit of an answer that is tried.
const SHORTEST: u64 = 256;

/// What a request may have in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    limit: Limit,
    system: bool,
    schema: Schema,
    temperature: bool,
    /// Alternatives of a token that it tells; none if it knows no log-probabilities.
    top_logprobs: u8,
    /// Whether schema and log-probabilities go together.
    both: bool,
    /// Tokens of a prompt and its answer together.
    context: Option<u64>,
    /// Tokens of an answer.
    longest: Option<u64>,
    /// Tokens of a prompt for 100 estimated ones.
    percent: u64,
}

/// How the form of the answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    /// As OpenAI has it.
    Strict,
    /// As a JSON object, with the schema beside it, which llama.cpp's Python server reads.
    Object,
    None,
}

/// What the limit of an answer is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    MaxTokens,
    MaxCompletionTokens,
    None,
}

impl Limit {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::MaxTokens => Some("max_tokens"),
            Self::MaxCompletionTokens => Some("max_completion_tokens"),
            Self::None => None,
        }
    }

    /// What to try when it is refused.
    fn others(self) -> [Self; 2] {
        match self {
            Self::MaxTokens => [Self::MaxCompletionTokens, Self::None],
            _ => [Self::MaxTokens, Self::None],
        }
    }
}

impl Form {
    /// Returns the form that is tried first. Servers of every kind know `max_tokens`, and some pass over
    /// `max_completion_tokens` without a word; OpenAI's newer models refuse the older name.
    pub(super) fn new(is_openai: bool) -> Self {
        Self {
            limit: if is_openai {
                Limit::MaxCompletionTokens
            } else {
                Limit::MaxTokens
            },
            system: true,
            schema: Schema::Strict,
            temperature: true,
            top_logprobs: TOP_LOGPROBS,
            both: true,
            context: None,
            longest: None,
            percent: 125,
        }
    }

    /// Returns the body of a request.
    pub(super) fn body(&self, model: &str, question: &Question) -> Value {
        let messages = if self.system {
            question.messages.iter().map(typed).collect()
        } else {
            let messages = without_system(&question.messages);
            messages.iter().map(typed).collect()
        };
        let most = self.most_tokens(question);
        let most = most.map(|most| u32::try_from(most).unwrap_or(u32::MAX));
        let logprobs = self.sends_logprobs(question);
        #[allow(deprecated, reason = "most servers know `max_tokens` alone")]
        let request = CreateChatCompletionRequest {
            model: model.into(),
            messages,
            stream: Some(false),
            max_tokens: most.filter(|_| self.limit == Limit::MaxTokens),
            max_completion_tokens: most.filter(|_| self.limit == Limit::MaxCompletionTokens),
            temperature: self.temperature.then_some(0.0),
            logprobs: logprobs.then_some(true),
            top_logprobs: logprobs.then_some(self.top_logprobs),
            ..Default::default()
        };
        let mut body = json!(request);
        if self.sends_schema(question) {
            body["response_format"] = match self.schema {
                Schema::Strict => json!(ResponseFormat::JsonSchema {
                    json_schema: ResponseFormatJsonSchema {
                        description: None,
                        name: question.task.into(),
                        schema: question.schema.clone(),
                        strict: Some(true),
                    }
                }),
                _ => json!({"type": "json_object", "schema": question.schema}),
            };
        }
        body
    }

    fn sends_logprobs(&self, question: &Question) -> bool {
        question.logprobs && self.top_logprobs > 0
    }

    fn sends_schema(&self, question: &Question) -> bool {
        self.schema != Schema::None && (self.both || !self.sends_logprobs(question))
    }

    /// The longest answer to ask for; `None` if the server takes no limit.
    pub(super) fn most_tokens(&self, question: &Question) -> Option<u64> {
        self.limit.name()?;
        let prompt = question.estimated_tokens() * self.percent / 100 + 32;
        // A prompt that leaves less room than this is too long itself, which the server says better.
        let room = |context: u64| {
            context
                .saturating_sub(prompt)
                .max(SHORTEST.min(context / 4))
        };
        let most = [
            Some(question.max_tokens),
            self.context.map(room),
            self.longest,
        ];
        most.into_iter().flatten().min()
    }

    /// The context's length, if a refusal told it.
    pub(super) fn context(&self) -> Option<u64> {
        self.context
    }

    /// Returns the forms to try next by a refusal's own words, the likeliest first.
    pub(super) fn named(&self, error: &ServerError, question: &Question) -> Vec<Self> {
        let words = error.words();
        let has = |all: &[&str]| all.iter().any(|part| words.contains(part));
        let mut forms = Vec::new();
        let names_logprobs =
            self.sends_logprobs(question) && has(&["logprob", "log prob", "log_prob", "log-prob"]);
        let names_schema = self.sends_schema(question)
            && has(&[
                "response_format",
                "response format",
                "json_schema",
                "schema",
                "structured output",
                "grammar",
                "guided",
                "json mode",
                "additionalproperties",
            ]);
        if names_logprobs {
            if names_schema {
                forms.push(Self {
                    both: false,
                    ..*self
                });
            }
            let numbers = sizes::numbers(&words).into_iter();
            let fewer = numbers.filter_map(|n| u8::try_from(n).ok());
            let fewer = fewer.filter(|&n| n > 0 && n < self.top_logprobs);
            if let Some(top_logprobs) = fewer.max() {
                forms.push(Self {
                    top_logprobs,
                    ..*self
                });
            }
            forms.push(Self {
                top_logprobs: 0,
                ..*self
            });
        }
        let asked = self.most_tokens(question);
        if let Some(sizes) = sizes::read(&words, asked, question.estimated_tokens()) {
            forms.extend(self.fitting(sizes, asked, question));
        }
        if self.limit.name().is_some_and(|name| has(&[name])) {
            let others = self.limit.others();
            forms.extend(others.map(|limit| Self { limit, ..*self }));
        }
        if self.system && sizes::names_system(&words) {
            forms.push(Self {
                system: false,
                ..*self
            });
        }
        if self.temperature && has(&["temperature"]) {
            forms.push(Self {
                temperature: false,
                ..*self
            });
        }
        if names_schema {
            if self.schema == Schema::Strict && has(&["json_object"]) {
                let schema = Schema::Object;
                forms.push(Self { schema, ..*self });
            }
            let schema = Schema::None;
            forms.push(Self { schema, ..*self });
        }
        forms
    }

    /// The forms whose answers are short enough for sizes that a refusal told, or did not tell.
    fn fitting(&self, sizes: Sizes, asked: Option<u64>, question: &Question) -> Vec<Self> {
        let mut forms = Vec::new();
        let estimated = question.estimated_tokens().max(1);
        let percent = sizes.prompt.map_or(self.percent, |prompt| {
            self.percent.max((prompt * 105).div_ceil(estimated))
        });
        if let Some(context) = sizes.context {
            let context = Some(context);
            forms.push(Self {
                context,
                percent,
                ..*self
            });
        }
        if let Some(longest) = sizes.longest {
            let longest = Some(longest);
            forms.push(Self { longest, ..*self });
        }
        if let Some(asked) = asked.filter(|&asked| asked > SHORTEST) {
            let longest = Some((asked / 2).max(SHORTEST));
            forms.push(Self { longest, ..*self });
        }
        forms.retain(|form| form.most_tokens(question) < asked);
        forms
    }

    /// Returns the forms to try where a refusal names nothing, the likeliest first.
    pub(super) fn guesses(&self, question: &Question) -> Vec<Self> {
        let mut forms = Vec::new();
        if self.sends_logprobs(question) {
            if self.sends_schema(question) {
                forms.push(Self {
                    both: false,
                    ..*self
                });
            }
            forms.push(Self {
                top_logprobs: 0,
                ..*self
            });
        }
        forms.push(Self {
            limit: self.limit.others()[0],
            ..*self
        });
        if self.schema != Schema::None {
            forms.push(Self {
                schema: Schema::None,
                ..*self
            });
        }
        if self.system {
            forms.push(Self {
                system: false,
                ..*self
            });
        }
        if self.temperature {
            forms.push(Self {
                temperature: false,
                ..*self
            });
        }
        forms
    }

    /// The form with nothing in it that any server might refuse.
    pub(super) fn barest(&self) -> Self {
        Self {
            limit: Limit::None,
            system: false,
            schema: Schema::None,
            temperature: false,
            top_logprobs: 0,
            ..*self
        }
    }

    /// Returns the forms between this and a fuller one that have one part more than this.
    pub(super) fn towards(&self, fuller: &Self) -> Vec<Self> {
        let forms = [
            Self {
                limit: fuller.limit,
                ..*self
            },
            Self {
                system: fuller.system,
                ..*self
            },
            Self {
                schema: fuller.schema,
                ..*self
            },
            Self {
                temperature: fuller.temperature,
                ..*self
            },
            Self {
                top_logprobs: fuller.top_logprobs,
                both: fuller.both,
                ..*self
            },
        ];
        forms.into_iter().filter(|form| form != self).collect()
    }

    /// Whether a request with this form is the same as one with another.
    pub(super) fn asks_like(&self, other: &Self, question: &Question) -> bool {
        self.body("", question) == other.body("", question)
    }

    /// The form with the other name of the limit, for a server that passes over this one.
    pub(super) fn with_other_limit(&self) -> Self {
        Self {
            limit: self.limit.others()[0],
            ..*self
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = |takes: bool| if takes { "a" } else { "no" };
        write!(
            f,
            "takes {}, {} system role, {}, {} temperature",
            self.limit.name().unwrap_or("no token limit"),
            a(self.system),
            match self.schema {
                Schema::Strict => "a JSON schema",
                Schema::Object => "a JSON object",
                Schema::None => "no JSON schema",
            },
            a(self.temperature)
        )?;
        if self.top_logprobs == 0 {
            write!(f, ", no log-probabilities")?;
        } else if !self.both {
            write!(f, ", log-probabilities without a schema")?;
        }
        if let Some(context) = self.context {
            write!(f, ", {context} tokens in all")?;
        }
        if let Some(longest) = self.longest {
            write!(f, ", {longest} tokens of an answer")?;
        }
        Ok(())
    }
}

/// The fewest tokens that a tokenizer makes of a conversation: one for two characters of Chinese or Japanese, and one for
/// eight of other scripts.
pub(super) fn fewest_tokens(question: &Question) -> u64 {
    let is_dense = |c: &char| matches!(c, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}');
    let fewest = |text: &str| {
        let dense = text.chars().filter(is_dense).count();
        let others = text.chars().count() - dense;
        (dense / 2 + others / 8) as u64
    };
    let texts = question.messages.iter();
    texts.map(|message| fewest(&message.content)).sum()
}

/// Returns a turn as OpenAI's types have it.
fn typed(message: &Message) -> ChatCompletionRequestMessage {
    let text = message.content.as_str();
    match message.role.as_str() {
        "system" => ChatCompletionRequestSystemMessage::from(text).into(),
        "assistant" => ChatCompletionRequestAssistantMessage::from(text).into(),
        _ => ChatCompletionRequestUserMessage::from(text).into(),
    }
}
