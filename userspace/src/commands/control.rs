//! Where the daemon's changes come from: the file and the API. They go one after another, each worked out on another
//! thread, for keys, regular expressions and thousands of listeners take seconds in which sessions go on being swept.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, anyhow, bail};
use evenkeel::{
    api::{
        Fault, Health,
        shared::{Message, Shared, WAITING},
        state::State,
        write::{Batch, Write},
    },
    config::{self, Configuration},
    dataplane::{capacity::capacity, daemon::Daemon},
    engine::{Draft, Drafter, Engine, Refusal, layers::Class, transition::Desired},
    l7::listeners::{Layer7, Making, Prepared},
    store::Change,
};
use model::object::Objects;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    api::{Api, together},
    stats::Reader,
};

/// How many writes are committed together at most.
const TOGETHER: usize = 64;

type Both = Engine<Daemon, Layer7>;

/// What has to be done.
enum Task {
    /// To follow the file.
    File,
    /// To make writes of the API.
    Writes(Vec<Write>),
}

/// How to follow the file: the change, what the API shows then, and the file's objects.
type Followed = (Draft<Prepared>, Option<State>, Arc<Objects>);

/// What was worked out.
enum Drafted {
    File(Result<Followed>),
    Writes(Box<Batch>, Option<Result<Draft<Prepared>, Refusal>>),
}

/// All changes of the daemon.
pub struct Changes {
    file: PathBuf,
    /// What the file had when it was last followed.
    objects: Arc<Objects>,
    api: Option<Api>,
    reader: Reader,
    /// Whether the file may have changed since it was last read.
    reload: bool,
    waiting: VecDeque<Write>,
    /// Whether the next writes are made one by one: together they were refused.
    one_by_one: usize,
    under_way: Option<JoinHandle<Drafted>>,
}

impl Changes {
    /// None yet; `objects` are the file's that are followed, `reader` counts for the API.
    pub fn new(file: &Path, objects: Arc<Objects>, api: Option<Api>, reader: Reader) -> Self {
        Self {
            file: file.to_owned(),
            objects,
            api,
            reader,
            reload: false,
            waiting: VecDeque::new(),
            one_by_one: 0,
            under_way: None,
        }
    }

    /// Begins to answer requests.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn serve(&mut self) -> Result<()> {
        if let Some(api) = &mut self.api {
            api.serve()?;
        }
        Ok(())
    }

    /// The file shall be followed.
    pub fn reload(&mut self, engine: &Both) {
        self.reload = true;
        self.begin(engine);
    }

    /// What happens next: a message of the API, or a change is worked out. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Event {
        let has_room = self.waiting.len() < WAITING;
        let message = async {
            match &mut self.api {
                Some(api) if has_room => match api.messages.recv().await {
                    Some(message) => message,
                    None => std::future::pending().await,
                },
                _ => std::future::pending().await,
            }
        };
        let drafted = async {
            match &mut self.under_way {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            drafted = drafted => {
                self.under_way = None;
                let broken = |error| anyhow!("working out a change broke off: {error}");
                Event(Next::Drafted(Box::new(drafted.map_err(broken))))
            }
            message = message => Event(Next::Message(message)),
        }
    }

    /// Does what has to be done then.
    pub async fn act(&mut self, Event(next): Event, engine: &mut Both) {
        match next {
            Next::Message(message) => self.hear(message, engine),
            Next::Drafted(drafted) => {
                match *drafted {
                    Ok(Drafted::File(drafted)) => self.follow(drafted, engine).await,
                    Ok(Drafted::Writes(batch, draft)) => self.write(batch, draft, engine).await,
                    Err(error) => tracing::error!("{error:#}"),
                }
                self.begin(engine);
            }
        }
    }

    /// Does what a message says.
    fn hear(&mut self, message: Message, engine: &mut Both) {
        match message {
            Message::Write(write) => {
                self.waiting.push_back(write);
                self.begin(engine);
            }
            Message::Stats(listeners, reply) => self.reader.answer(&listeners, reply, engine),
            Message::Health(pools, reply) => {
                let health = engine.with_standings(|_, standings| {
                    let members = pools.iter().map(|&pool| (pool, standings.members(pool)));
                    let all =
                        members.flat_map(|(pool, members)| members.map(move |(at, it)| ((pool, at), it)));
                    all.collect::<Health>()
                });
                let _ = reply.send(health);
            }
        }
    }

    /// Begins with the next change, if none is under way.
    fn begin(&mut self, engine: &Both) {
        if self.under_way.is_some() {
            return;
        }
        let task = if self.reload {
            self.reload = false;
            Task::File
        } else {
            let many = if self.one_by_one > 0 { 1 } else { TOGETHER };
            let writes: Vec<Write> = self.waiting.drain(..many.min(self.waiting.len())).collect();
            self.one_by_one = self.one_by_one.saturating_sub(1);
            if writes.is_empty() {
                return;
            }
            Task::Writes(writes)
        };
        let (drafter, file) = (engine.drafter(), self.file.clone());
        let state = self.api.as_ref().map(|api| api.shared.state());
        self.under_way = Some(spawn_blocking(move || match task {
            Task::File => Drafted::File(read(drafter, &file, state.as_deref())),
            Task::Writes(writes) => make(drafter, writes, state.as_deref()),
        }));
    }

    /// Follows the file. A bad one changes nothing.
    async fn follow(&mut self, drafted: Result<Followed>, engine: &mut Both) {
        let applied = match drafted {
            // A listener has drained meanwhile.
            Ok((draft, ..)) if !engine.accepts(&draft) => {
                self.reload = true;
                return;
            }
            Ok((draft, state, objects)) => {
                let made = engine.change(draft).await;
                if made.is_ok() {
                    self.objects = objects;
                    if let (Some(api), Some(state)) = (&self.api, state) {
                        api.shared.set_state(Arc::new(state));
                    }
                }
                made.map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        match applied {
            Ok(1) => eprintln!("evenkeel: {} applied, 1 change", self.file.display()),
            Ok(changes) => eprintln!("evenkeel: {} applied, {changes} changes", self.file.display()),
            Err(error) => eprintln!("evenkeel: {} not applied: {error:#}", self.file.display()),
        }
    }

    /// Commits writes and makes them in both layers; all of them, or none.
    async fn write(
        &mut self,
        batch: Box<Batch>,
        draft: Option<Result<Draft<Prepared>, Refusal>>,
        engine: &mut Both,
    ) {
        let Some(shared) = self.api.as_ref().map(|api| api.shared.clone()) else { return };
        let Batch { state, change, made, refused, .. } = *batch;
        let result = match draft {
            None => Ok(()),
            Some(Err(refusal)) => Err(refusal),
            Some(Ok(draft)) if !engine.accepts(&draft) => {
                // A listener has drained meanwhile: all of it once more, in the same order.
                let again = made.into_iter().map(|(write, _)| write);
                for write in again.collect::<Vec<_>>().into_iter().rev() {
                    self.waiting.push_front(write);
                }
                refuse(&shared, refused).await;
                return;
            }
            Some(Ok(draft)) => {
                let undo = shared.state().undo(&change);
                let committing = commit(shared.clone(), change);
                let mut has_committed = false;
                let committing = async {
                    committing.await?;
                    has_committed = true;
                    Ok(())
                };
                let result = engine.change_after(draft, committing).await.map(drop);
                if result.is_err() && has_committed {
                    take_back(shared.clone(), undo).await;
                }
                result
            }
        };
        match result {
            Ok(()) => {
                if !made.is_empty() {
                    shared.set_state(Arc::new(state));
                }
                made.into_iter().for_each(|(write, answer)| write.confirm(answer));
                refuse(&shared, refused).await;
            }
            Err(_) if made.len() > 1 => {
                // One of them may be at fault alone.
                self.one_by_one = made.len();
                for (write, _) in made.into_iter().rev() {
                    self.waiting.push_front(write);
                }
                refuse(&shared, refused).await;
            }
            Err(refusal) => {
                let fault = Fault::from(&refusal);
                let all = made.into_iter().map(|(write, _)| (write, fault.clone())).chain(refused);
                refuse(&shared, all.collect()).await;
            }
        }
    }
}

/// What happens next.
pub struct Event(Next);

enum Next {
    Message(Message),
    Drafted(Box<Result<Drafted>>),
}

fn read(drafter: Drafter<Making>, file: &Path, state: Option<&State>) -> Result<Followed> {
    let configuration = config::load(file, &capacity())?;
    let listens = configuration.api.as_ref().map(|control| &control.listen);
    if listens != state.map(|state| &state.control().listen) {
        bail!("api.listen cannot change while the daemon runs: restart it");
    }
    let Configuration { host, api, timeouts, objects } = configuration;
    let file = Arc::new(objects);
    let mut desired = Desired { host, timeouts, objects: file.clone() };
    let state = state.zip(api).map(|(state, control)| state.with_file(&file, control));
    if let Some(state) = &state {
        desired.objects = Arc::new(together(state, &file, &desired)?);
    }
    Ok((drafter.draft(desired)?, state, file))
}

fn make(drafter: Drafter<Making>, writes: Vec<Write>, state: Option<&State>) -> Drafted {
    // Writes come from an API, which has a state.
    let Some(state) = state else { unreachable!("writes without an API") };
    let now = drafter.now().clone();
    let mut batch = Box::new(Batch::new(writes, state, &now.objects, &capacity()));
    if batch.made.is_empty() {
        return Drafted::Writes(batch, None);
    }
    let objects = Arc::new(std::mem::take(&mut batch.objects));
    let draft = drafter.draft(Desired { objects, ..now });
    Drafted::Writes(batch, Some(draft))
}

/// Commits a change and its traces.
async fn commit(shared: Arc<Shared>, change: Change) -> Result<(), Refusal> {
    let committed = spawn_blocking(move || {
        shared.with_store(|store| {
            let revision = store.revision();
            store.commit(revision, &change)
        })
    });
    let failed = |reason: String| Refusal { class: Class::Unavailable, reason: reason.into() };
    match committed.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Takes back what was committed and could not be made.
async fn take_back(shared: Arc<Shared>, undo: Option<Change>) {
    let Some(undo) = undo else { return };
    if let Err(refusal) = commit(shared, undo).await {
        tracing::error!("the store has a change that could not be made, and cannot take it back: {refusal}");
    }
}

/// Tells clients that their writes cannot be, and writes that down.
async fn refuse(shared: &Arc<Shared>, refused: Vec<(Write, Fault)>) {
    if refused.is_empty() {
        return;
    }
    let traces = refused.into_iter().map(|(write, fault)| write.refuse(fault)).collect();
    if let Err(refusal) = commit(shared.clone(), Change { traces, ..Change::default() }).await {
        tracing::error!("refused requests cannot be written down: {refusal}");
    }
}
