//! The thread that speaks: replies of all clients in one batch for each voice.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Worker {
    asked: Mutex<Sender<Asked>>,
}

impl Worker {
    /// Starts a thread that has a model for each voice; models share the weights of their base.
    pub(super) fn start(voices: Vec<Decoder>) -> Result<Self> {
        let (asked, inbox) = channel();
        std::thread::Builder::new()
            .name("voices".to_string())
            .spawn(move || work(&voices, &inbox))
            .map_err(|error| Error::Threads(error.to_string()))?;
        Ok(Self {
            asked: Mutex::new(asked),
        })
    }

    /// Asks a voice for replies; they are given up when what is returned is dropped.
    pub(super) fn ask(
        &self,
        voice: usize,
        prompt: Prompt,
        config: GenerateConfig,
    ) -> Result<UnboundedReceiver<Event>> {
        // A reply has a longest length, so an unread one has, too.
        let (sender, events) = unbounded_channel();
        let asked = Asked {
            voice,
            prompt,
            config: Arc::new(config),
            events: sender,
        };
        let to_thread = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |_| Error::Fault("the thread that speaks has ended".to_string());
        to_thread.send(asked).map_err(gone)?;
        Ok(events)
    }
}

/// A reply that is under way.
struct Waiting {
    /// Its number in its prompt.
    number: usize,
    events: UnboundedSender<Event>,
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
            };
            self.waiting.insert(reply_idx, waiting);
        }
    }

    /// Gives replies up that nobody waits for, and makes a token of each of the others.
    fn step(&mut self, job: &Job) {
        let forsaken = self.waiting.iter();
        let forsaken = forsaken.filter(|(_, waiting)| waiting.events.is_closed());
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

fn work(models: &[Decoder], inbox: &Receiver<Asked>) {
    let job = Job::default();
    // All voices together keep as much as one would.
    let room = |model| Room::of(model).shared_by(models.len());
    let voices = models.iter().map(|model| Voice::new(model, room(model)));
    let mut voices: Vec<Voice<'_>> = voices.collect();
    loop {
        let is_idle = voices.iter().all(|voice| voice.waiting.is_empty());
        let mut next = match is_idle {
            true => match inbox.recv() {
                Ok(asked) => Ok(asked),
                Err(_) => return,
            },
            false => inbox.try_recv(),
        };
        loop {
            match next {
                Ok(asked) => {
                    if let Some(voice) = voices.get_mut(asked.voice) {
                        voice.take(asked);
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
            next = inbox.try_recv();
        }
        for voice in &mut voices {
            voice.step(&job);
        }
    }
}
