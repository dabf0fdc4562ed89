//! A server on loopback that speaks OpenAI's chat API, as well or as badly as a test wants.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use apc::persona::{Nli, Relevance};
use apc::teacher::Teacher;
use apc::tiny::Offline;
use serde_json::{Value, json};

use super::hub_server::zipped;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers the task sensibly.
    Answer,
    /// Answers the task sensibly, and says that it had no more tokens.
    Cut,
    /// Answers with this text.
    Say(String),
    /// Fails with a status, a body and perhaps a Retry-After.
    Fail(u16, String, Option<&'static str>),
    /// Answers with success and this body.
    Body(String),
    /// The same, compressed.
    Gzip(String),
    /// Sends this response as it is.
    Raw(String),
    /// Sends this beginning of a response, and then more and more of it until nobody listens.
    Endless(String),
    /// Closes the connection.
    Drop,
    /// Says nothing for so long.
    Hang(Duration),
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The conversation.
    pub(crate) messages: String,
    /// The whole body.
    pub(crate) body: Value,
    /// How often the same conversation came before.
    pub(crate) attempt: usize,
    pub(crate) authorization: Option<String>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) request: Request,
    /// Whether a whole answer went out.
    pub(crate) answered: bool,
}

type Behaviour = dyn Fn(&Request) -> Act + Send + Sync;

struct State {
    behaviour: Box<Behaviour>,
    delay: Duration,
    log: Mutex<Vec<Served>>,
    attempts: Mutex<HashMap<String, usize>>,
    /// While it is shut nothing is answered.
    open: RwLock<bool>,
    /// Requests under way, and the most that were at once.
    under_way: Mutex<(usize, usize)>,
}

pub(crate) struct ChatServer {
    state: Arc<State>,
    pub(crate) port: u16,
}

impl ChatServer {
    pub(crate) fn new(
        delay: Duration,
        behaviour: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            behaviour: Box::new(behaviour),
            delay,
            log: Mutex::default(),
            attempts: Mutex::default(),
            open: RwLock::new(true),
            under_way: Mutex::default(),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || connection(&state, stream));
            }
        });
        Self { state, port }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub(crate) fn log(&self) -> Vec<Served> {
        self.state.log.lock().unwrap().clone()
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.under_way.lock().unwrap().1
    }

    /// Answers nothing from now on; what was being answered is out when this returns.
    pub(crate) fn shut(&self) {
        *self.state.open.write().unwrap() = false;
    }

    pub(crate) fn open(&self) {
        *self.state.open.write().unwrap() = true;
    }
}

fn connection(state: &State, stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read_request(state, &mut reader) {
        let act = (state.behaviour)(&request);
        let under_way = |change: isize| {
            let mut counts = state.under_way.lock().unwrap();
            counts.0 = counts.0.saturating_add_signed(change);
            counts.1 = counts.1.max(counts.0);
        };
        under_way(1);
        std::thread::sleep(state.delay);
        under_way(-1);
        let log = |answered| {
            state.log.lock().unwrap().push(Served {
                request: request.clone(),
                answered,
            });
        };
        let text = match &act {
            Act::Answer | Act::Cut => answer(&request.messages),
            Act::Say(text) => text.clone(),
            Act::Fail(status, body, wait) => {
                log(false);
                if stream
                    .write_all(http(*status, body, *wait).as_bytes())
                    .is_err()
                {
                    return;
                }
                continue;
            }
            Act::Body(body) => {
                log(true);
                if stream.write_all(http(200, body, None).as_bytes()).is_err() {
                    return;
                }
                continue;
            }
            Act::Gzip(body) => {
                log(true);
                let zipped = zipped(body.as_bytes());
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                    zipped.len()
                );
                if stream
                    .write_all(&[head.as_bytes(), &zipped].concat())
                    .is_err()
                {
                    return;
                }
                continue;
            }
            Act::Raw(response) => {
                log(false);
                // Whoever gets it may have gone.
                let _ = stream.write_all(response.as_bytes());
                return;
            }
            Act::Endless(begin) => {
                log(false);
                let more = vec![b'x'; 1 << 20];
                let mut sent = stream.write_all(begin.as_bytes());
                while sent.is_ok() {
                    sent = stream.write_all(&more);
                }
                return;
            }
            Act::Drop => return log(false),
            Act::Hang(long) => {
                log(false);
                return std::thread::sleep(*long);
            }
        };
        let open = state.open.read().unwrap();
        log(*open);
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 10});
        let mut choice = json!({"message": {"role": "assistant", "content": text}});
        if matches!(act, Act::Cut) {
            choice["finish_reason"] = json!("length");
        }
        if request.body["logprobs"] == true {
            choice["logprobs"] = json!({"content": likely(&text)});
        }
        let body = json!({"choices": [choice], "usage": usage});
        let response = http(200, &body.to_string(), None);
        if !*open || stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(state: &State, reader: &mut impl BufRead) -> Option<Request> {
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => authorization = Some(value.to_string()),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let texts = body["messages"].as_array()?.iter();
    let texts: Vec<&str> = texts
        .filter_map(|message| message["content"].as_str())
        .collect();
    let messages = texts.join("\n====\n");
    let mut attempts = state.attempts.lock().unwrap();
    let attempts = attempts.entry(messages.clone()).or_default();
    *attempts += 1;
    Some(Request {
        messages,
        attempt: *attempts - 1,
        body,
        authorization,
    })
}

fn http(status: u16, body: &str, wait: Option<&str>) -> String {
    let wait = wait.map_or(String::new(), |wait| format!("Retry-After: {wait}\r\n"));
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{wait}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The tokens of an answer, whose label has nine tenths of the probability.
fn likely(text: &str) -> Value {
    let names = Relevance::NAMES.iter().chain(&Nli::NAMES);
    let quoted = names.map(|name| (*name, format!("\"{name}\"")));
    let mut labels = quoted.filter_map(|(name, quoted)| Some((text.find(&quoted)? + 1, name)));
    let (at, label) = labels.next().unwrap();
    let token = |token: &str, others: Value| json!({"token": token, "logprob": 0.9_f64.ln(), "top_logprobs": others});
    let other = if Relevance::NAMES.contains(&label) {
        if label == "yes" { "no" } else { "yes" }
    } else {
        Nli::NAMES.into_iter().find(|name| *name != label).unwrap()
    };
    let others = json!([{"token": &other[..2], "logprob": 0.1_f64.ln()}]);
    json!([
        token(&text[..at], json!([])),
        token(label, others),
        token(&text[at + label.len()..], json!([])),
    ])
}

/// Answers in Chinese, by the form of the sentences alone.
fn chinese(user: &str) -> Value {
    let behind = |mark: &str| user.split_once(mark).unwrap().1;
    if user.contains("{\"statements\"") {
        let page = behind("页面的这一部分：\n").replace('\n', "");
        let sentences = page.split_inclusive('。').map(str::to_string);
        return json!({"statements": sentences.collect::<Vec<_>>()});
    }
    let statement = user.lines().nth(1).unwrap();
    let plain = statement.trim_end_matches('。').replace("小雨", "你");
    if user.contains("{\"questions\"") {
        let more = if user.contains("已经问过了") {
            "真的"
        } else {
            ""
        };
        json!({"questions": [format!("{plain}{more}吗？"), format!("为什么{plain}{more}？"), format!("听说{plain}{more}？")]})
    } else if user.contains("{\"relevant\"") {
        let asked = user
            .lines()
            .filter(|line| line.contains(". ") && !line.contains("例子"));
        let labels = asked.map(|line| if line.contains(&plain) { "yes" } else { "no" });
        json!({"relevant": labels.collect::<Vec<_>>()})
    } else if user.contains("{\"entailed\"") {
        let said = statement.replace("小雨", "我");
        json!({"entailed": said, "neutral": "我们谈点别的吧。", "contradicted": format!("不，不是{said}")})
    } else {
        json!({"label": if user.contains("不，不是") { "contradicted" } else { "neutral" }})
    }
}

/// What the rules for English would say.
pub(crate) fn answer(messages: &str) -> String {
    let mut turns = messages.split("\n====\n");
    let first = turns.next().unwrap();
    // A system's text may be in the user's turn, before an empty line.
    let user = match first.split_once("\n\n") {
        Some((_, user)) => user,
        None => turns.next().unwrap(),
    };
    if user.contains('。') {
        return chinese(user).to_string();
    }
    let behind = |mark: &str| user.split_once(mark).unwrap().1;
    let line = |mark: &str| behind(mark).lines().next().unwrap().to_string();
    let character = user
        .lines()
        .find_map(|line| line.strip_prefix("This is true of ")?.strip_suffix(':'))
        .unwrap_or("Mira");
    let value = if user.contains("{\"statements\"") {
        let statements = Offline
            .statements("Mira", behind("The part of the page:\n"))
            .unwrap();
        let statements: Vec<String> = statements.into_iter().map(|s| s.statement).collect();
        json!({"statements": statements})
    } else {
        let statement = user.lines().nth(1).unwrap();
        if user.contains("{\"questions\"") {
            let seed = user.len() as u64;
            let asked = Offline.queries(character, statement, &[], seed).unwrap();
            let asked: Vec<String> = asked.into_iter().map(|query| query.query).collect();
            json!({"questions": asked})
        } else if user.contains("{\"relevant\"") {
            let numbered = user.lines().filter_map(|line| {
                let (number, question) = line.split_once(". ")?;
                number.parse::<usize>().ok().map(|_| question)
            });
            let questions: Vec<&str> = numbered.collect();
            let labels = questions.iter().map(|question| label(statement, question));
            let labels: Vec<Relevance> = labels.collect();
            let names = labels.iter().map(|&label| Relevance::NAMES[label as usize]);
            json!({"relevant": names.collect::<Vec<_>>()})
        } else if user.contains("{\"entailed\"") {
            let asked = line("is asked:\n");
            let replies = [
                (Nli::Entailed, format!("You ask: {asked} Well: {statement}")),
                (Nli::Neutral, "I would rather not say.".to_string()),
                (Nli::Contradicted, format!("It is not true: {statement}")),
            ];
            let named =
                replies.map(|(label, reply)| (Nli::NAMES[label as usize].into(), json!(reply)));
            serde_json::Map::from_iter(named).into()
        } else {
            let response = line("has replied:\n");
            let denies = response.split_whitespace().any(|word| word == "not");
            let label = match label(statement, &response) {
                Relevance::No => Nli::Neutral,
                Relevance::Yes if denies => Nli::Contradicted,
                Relevance::Yes => Nli::Entailed,
            };
            json!({"label": Nli::NAMES[label as usize]})
        }
    };
    value.to_string()
}

/// A statement matters to a text that has one of its longer words, or one that begins as it does.
fn label(statement: &str, text: &str) -> Relevance {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric());
        let long = words.filter(|word| word.chars().count() > 3);
        long.map(|word| word.to_lowercase().chars().take(4).collect())
            .collect()
    };
    let (statement, text) = (words(statement), words(text));
    match text.iter().any(|word| statement.contains(word)) {
        true => Relevance::Yes,
        false => Relevance::No,
    }
}
