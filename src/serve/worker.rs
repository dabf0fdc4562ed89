//! The thread that speaks: replies of all clients in one batch for each voice.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::state::voice_of;
use crate::error::guarded;
use crate::nn::Decoder;
use crate::progress::Job;
use crate::text::{GenerateConfig, Generation, Prompt, Reply, Room, Token};
use crate::{Error, Result};

/// What comes of a prompt: tokens as they are made, and replies as they end.
#[derive(Debug)]
pub(super) enum Event {
    /// A token of the reply with this number, counted from 0 in the prompt's order.
    Token(usize, Token),
    /// A finished reply; its `reply_idx` is counted in the same way.
    Done(Reply),
    /// Nothing more comes.
    Failed(String),
}

/// A prompt and who waits for what comes of it.
struct Asked {
    voice: usize,
    prompt: Prompt,
    config: Arc<GenerateConfig>,
    events: UnboundedSender<Event>,
    ended: Arc<[AtomicBool]>,
}

/// What comes of a prompt; its replies are given up when this is dropped.
#[derive(Debug)]
pub(super) struct Events {
    events: UnboundedReceiver<Event>,
    ended: Arc<[AtomicBool]>,
}

impl Events {
    /// The next event; none if the thread that speaks is gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Gives one of the replies up.
    pub(super) fn end(&self, number: usize) {
        if let Some(ended) = self.ended.get(number) {
            ended.store(true, Ordering::Relaxed);
        }
    }
}

/// An adapter that is put on the base model, as a new voice or in place of one.
struct Learnt {
    voice: Option<usize>,
    adapter: PathBuf,
    done: Sender<Result<usize>>,
}

/// What the thread is told.
enum Order {
    Ask(Asked),
    Learn(Learnt),
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Worker {
    orders: Mutex<Sender<Order>>,
}

impl Worker {
    /// Starts a thread that has a model for each voice; models share the weights of their base.
    pub(super) fn start(voices: Vec<Decoder>) -> Result<Self> {
        let (orders, inbox) = channel();
        std::thread::Builder::new()
            .name("voices".to_string())
            .spawn(move || work(voices, &inbox))
            .map_err(|error| Error::Threads(error.to_string()))?;
        Ok(Self {
            orders: Mutex::new(orders),
        })
    }

    fn order(&self, order: Order) -> Result<()> {
        let to_thread = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        to_thread.send(order).map_err(|_| gone())
    }

    /// Puts an adapter on the base model, in place of a voice or as a new one, once the replies that are under way have ended;
    /// returns the voice.
    pub(super) fn learn(&self, voice: Option<usize>, adapter: PathBuf) -> Result<usize> {
        let (done, learnt) = channel();
        self.order(Order::Learn(Learnt {
            voice,
            adapter,
            done,
        }))?;
        learnt.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Asks a voice for replies.
    pub(super) fn ask(
        &self,
        voice: usize,
        prompt: Prompt,
        config: GenerateConfig,
    ) -> Result<Events> {
        // A reply has a longest length, so an unread one has, too.
        let (sender, events) = unbounded_channel();
        let ended: Arc<[AtomicBool]> = prompt.seeds.iter().map(|_| AtomicBool::default()).collect();
        self.order(Order::Ask(Asked {
            voice,
            prompt,
            config: Arc::new(config),
            events: sender,
            ended: ended.clone(),
        }))?;
        Ok(Events { events, ended })
    }
}

fn gone() -> Error {
    Error::Fault("the thread that speaks has ended".to_string())
}

/// A reply that is under way.
struct Waiting {
    /// Its number in its prompt.
    number: usize,
    events: UnboundedSender<Event>,
    ended: Arc<[AtomicBool]>,
}

impl Waiting {
    fn is_forsaken(&self) -> bool {
        self.events.is_closed() || self.ended[self.number].load(Ordering::Relaxed)
    }
}

/// One voice: its batch, and who waits.
struct Voice<'a> {
    model: &'a Decoder,
    room: Room,
    generation: Generation<'a>,
    waiting: HashMap<usize, Waiting>,
}

impl<'a> Voice<'a> {
    fn new(model: &'a Decoder, room: Room) -> Self {
        Self {
            model,
            room,
            generation: Self::batch(model, room),
            waiting: HashMap::new(),
        }
    }

    fn batch(model: &'a Decoder, room: Room) -> Generation<'a> {
        // A quarter as much again for conversations that rest.
        Generation::empty(model, room).with_prefixes(room.tokens / 4)
    }

    fn take(&mut self, asked: Asked) {
        let replies = self.generation.push(&asked.prompt, &asked.config);
        for (number, reply_idx) in replies.enumerate() {
            let waiting = Waiting {
                number,
                events: asked.events.clone(),
                ended: asked.ended.clone(),
            };
            self.waiting.insert(reply_idx, waiting);
        }
    }

    /// Gives replies up that nobody waits for, and makes a token of each of the others.
    fn step(&mut self, job: &Job) {
        let forsaken = self.waiting.iter();
        let forsaken = forsaken.filter(|(_, waiting)| waiting.is_forsaken());
        let forsaken: Vec<usize> = forsaken.map(|(&reply_idx, _)| reply_idx).collect();
        for reply_idx in &forsaken {
            self.waiting.remove(reply_idx);
        }
        let (generation, waiting) = (&mut self.generation, &self.waiting);
        let mut on_token = |reply_idx: usize, token: &Token| {
            if let Some(waiting) = waiting.get(&reply_idx) {
                // Who is gone is seen before the next step.
                let _ = waiting
                    .events
                    .send(Event::Token(waiting.number, token.clone()));
            }
        };
        let stepped = guarded(|| {
            for &reply_idx in &forsaken {
                generation.cancel(reply_idx);
            }
            match generation.is_done() {
                true => Ok(Vec::new()),
                false => generation.step(job, &mut on_token),
            }
        });
        let stepped = stepped
            .map_err(Error::Fault)
            .and_then(std::convert::identity);
        match stepped {
            Ok(replies) => {
                for mut reply in replies {
                    if let Some(waiting) = self.waiting.remove(&reply.reply_idx) {
                        reply.reply_idx = waiting.number;
                        let _ = waiting.events.send(Event::Done(reply));
                    }
                }
            }
            Err(error) => {
                // Which of them it was cannot be told; the next ones begin anew.
                for (_, waiting) in self.waiting.drain() {
                    let _ = waiting.events.send(Event::Failed(error.to_string()));
                }
                self.generation = Self::batch(self.model, self.room);
            }
        }
    }
}

/// Speaks until nobody can ask any more. The first model is the base.
fn work(mut models: Vec<Decoder>, inbox: &Receiver<Order>) {
    while let Some(learnt) = speak(&models, inbox) {
        let new = guarded(|| voice_of(&models[0], &learnt.adapter));
        let new = new.map_err(Error::Fault).and_then(std::convert::identity);
        let voice = new.map(|new| match learnt.voice {
            Some(voice) => {
                models[voice] = new;
                voice
            }
            None => {
                models.push(new);
                models.len() - 1
            }
        });
        // Who asked for it may be gone.
        let _ = learnt.done.send(voice);
    }
}

/// Speaks until something is to be learnt; what was asked before that is answered.
fn speak(models: &[Decoder], inbox: &Receiver<Order>) -> Option<Learnt> {
    let job = Job::default();
    // All voices together keep as much as one would.
    let room = |model| Room::of(model).shared_by(models.len());
    let voices = models.iter().map(|model| Voice::new(model, room(model)));
    let mut voices: Vec<Voice<'_>> = voices.collect();
    let mut learnt: Option<Learnt> = None;
    loop {
        let is_idle = voices.iter().all(|voice| voice.waiting.is_empty());
        if is_idle && learnt.is_some() {
            return learnt;
        }
        let mut may_wait = is_idle;
        // What comes behind it waits for it.
        while learnt.is_none() {
            let next = match std::mem::take(&mut may_wait) {
                true => inbox.recv().map_err(|_| TryRecvError::Disconnected),
                false => inbox.try_recv(),
            };
            match next {
                Ok(Order::Ask(asked)) => {
                    if let Some(voice) = voices.get_mut(asked.voice) {
                        voice.take(asked);
                    }
                }
                Ok(Order::Learn(new)) => learnt = Some(new),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        for voice in &mut voices {
            voice.step(&job);
        }
    }
}
