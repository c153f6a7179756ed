//! The API of the daemon: its store and its socket, and what it has beside the file.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use evenkeel::{
    api::{
        server::Bound,
        shared::{Message, Shared},
        state::State,
    },
    config::Configuration,
    dataplane::capacity::capacity,
    engine::transition::Desired,
    store::sqlite::Sqlite,
};
use model::{
    check::{Surroundings, check},
    control::Control,
    object::Objects,
};
use tokio::sync::mpsc;

/// The API, if there is one.
pub struct Api {
    /// What its threads and the loop share.
    pub shared: Arc<Shared>,
    /// What the loop is asked.
    pub messages: mpsc::Receiver<Message>,
    bound: Option<Bound>,
}

impl Api {
    /// Opens the store and the socket.
    ///
    /// # Errors
    /// The store is not one, or the socket is taken.
    pub fn open(control: Control, configuration: &Configuration, state_dir: &Path) -> Result<Self> {
        let store = Sqlite::open(state_dir).context("the store of the API")?;
        let locals = configuration.host.local_addresses.clone();
        let listen = control.listen.clone();
        let state = State::of_store(&store, &configuration.objects, control, locals)
            .map_err(|reason| anyhow!(reason))?;
        let bound = Bound::new(&listen).with_context(|| format!("the API cannot listen at {listen}"))?;
        let (shared, messages) = Shared::new(state, Box::new(store));
        Ok(Self { shared, messages, bound: Some(bound) })
    }

    /// Begins to answer requests.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn serve(&mut self) -> Result<()> {
        match self.bound.take() {
            Some(bound) => bound.serve(self.shared.clone()).context("no thread for the API"),
            None => Ok(()),
        }
    }

    /// The file's objects and those of the store.
    ///
    /// # Errors
    /// They cannot be together.
    pub fn objects(&self, file: &Objects, configuration: &Desired) -> Result<Objects> {
        together(&self.shared.state(), file, configuration)
    }
}

/// The file's objects and those of the API, checked.
///
/// # Errors
/// They cannot be together.
pub fn together(state: &State, file: &Objects, desired: &Desired) -> Result<Objects> {
    let objects = state
        .merged(file)
        .map_err(|fault| anyhow!("an object of the API cannot be served: {}", fault.text))?;
    let surroundings = Surroundings {
        local_addresses: &desired.host.local_addresses,
        capacity: &capacity(),
        unread: &Default::default(),
        order: &Default::default(),
        before: None,
    };
    let problems: Vec<String> = check(&objects, &surroundings).iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        bail!("the file does not go with what the API has: {}", problems.join("; "));
    }
    Ok(objects)
}
