//! The task that owns what is known of drivers and repositories.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::job::{self, Finished, Recipe, Refusal};
use super::records::Record;
use super::repository::Known;
use super::{Request, Shown, World};
use crate::model::driver::RECOMPILE;
use crate::model::repository::HEAD;
use crate::model::{Driver, Repository};
use crate::repositories::Artifact;
use crate::runtime::Error;
use crate::runtime::directory::Id;
use crate::runtime::program::Program;
use crate::runtime::reconciler::Event;
use crate::runtime::view::DriverView;

pub(super) struct Task {
    world: World,
    shown: Arc<DashMap<Id, Shown>>,
    repositories: HashMap<Id, Known>,
    drivers: HashMap<Id, Built>,
    /// Programs that modules may still run: going back to one is no change for them.
    programs: Vec<Weak<Program>>,
    jobs: JoinSet<Finished>,
    records: mpsc::UnboundedSender<Record>,
}

/// What the task knows of one driver.
struct Built {
    document: Arc<Driver>,
    building: Option<Recipe>,
    /// What the program was built from.
    made_of: Option<Recipe>,
    failed: Option<(Recipe, Refusal)>,
    /// Build even if that was done.
    force: bool,
    waiting: Vec<oneshot::Sender<Result<DriverView, Error>>>,
}

impl Task {
    pub(super) fn new(
        world: World,
        shown: Arc<DashMap<Id, Shown>>,
        records: mpsc::UnboundedSender<Record>,
    ) -> Task {
        Task {
            world,
            shown,
            repositories: HashMap::new(),
            drivers: HashMap::new(),
            programs: Vec::new(),
            jobs: JoinSet::new(),
            records,
        }
    }

    pub(super) async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.request(request),
                    None => return,
                },
                Some(Ok(finished)) = self.jobs.join_next() => self.finished(finished),
            }
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Driver(id, Some(document)) => {
                let known = self.drivers.entry(id.clone()).or_insert_with(|| Built {
                    document: document.clone(),
                    building: None,
                    made_of: None,
                    failed: None,
                    force: false,
                    waiting: Vec::new(),
                });
                known.document = document;
                self.converge(&id);
            }
            Request::Driver(id, None) => {
                self.drivers.remove(&id);
                self.shown.remove(&id);
                self.tell(&id);
            }
            Request::Repository(id, Some(document)) => self.repository(id, document),
            Request::Repository(id, None) => {
                if self.repositories.remove(&id).is_some() {
                    let repositories = self.world.repositories.clone();
                    tokio::spawn(async move {
                        if let Err(error) = repositories.remove(&id).await {
                            tracing::warn!(repository = %id, %error, "not removed from the disk");
                        }
                    });
                }
            }
            Request::Pull(id, answer) => match self.repositories.get_mut(&id) {
                Some(known) => {
                    known.waiting.push(answer);
                    known.again = true;
                    self.fetch(&id);
                }
                None => drop(answer.send(Err(not_found("repository", &id)))),
            },
            Request::Compile(id, force, answer) => match self.drivers.get_mut(&id) {
                Some(known) => {
                    known.waiting.push(answer);
                    known.force |= force;
                    known.failed = None;
                    self.converge(&id);
                }
                None => drop(answer.send(Err(not_found("driver", &id)))),
            },
        }
    }

    // --- repositories ---

    fn repository(&mut self, id: Id, document: Arc<Repository>) {
        let fetch = match self.repositories.get_mut(&id) {
            Some(known) => {
                let moved = known.moved(&document);
                known.document = document;
                moved
            }
            None => {
                let known = Known::new(document);
                let fetch = known.deployed.is_none();
                self.repositories.insert(id.clone(), known);
                fetch
            }
        };
        if fetch {
            if let Some(known) = self.repositories.get_mut(&id) {
                known.again = true;
            }
            self.fetch(&id);
        } else {
            self.converge_repository(&id, false);
        }
    }

    /// Fetches now, or once the fetch under way is through.
    fn fetch(&mut self, id: &Id) {
        let Some(known) = self.repositories.get_mut(id) else { return };
        if known.fetching || !known.again {
            return;
        }
        known.again = false;
        known.plan += 1;
        let source = match known.source(&self.world.vault) {
            Ok(source) => source,
            Err(problem) => {
                return self.finished(Finished::Fetched { repository: id.clone(), result: Err(problem) });
            }
        };
        known.fetching = true;
        let (repositories, pinned) = (self.world.repositories.clone(), known.document.commit_hash.clone());
        let repository = id.clone();
        self.jobs.spawn(async move {
            Finished::Fetched { repository, result: job::fetch(repositories, source, pinned).await }
        });
    }

    fn fetched(&mut self, id: &Id, result: Result<String, String>) {
        let Some(known) = self.repositories.get_mut(id) else { return };
        known.fetching = false;
        let answers = if known.again { Vec::new() } else { std::mem::take(&mut known.waiting) };
        for answer in answers {
            let _ = answer.send(result.clone().map_err(Error::Failed));
        }
        let _ = self.records.send(Record::Fetched(id.to_string(), result.clone()));
        match result {
            Ok(commit) => {
                known.deployed = Some(commit);
                known.problem = None;
                known.backoff.reset();
                self.converge_repository(id, true);
            }
            Err(error) => {
                tracing::warn!(repository = %id, %error, "repository not fetched");
                known.problem = Some(error);
                let wait = known.backoff.next(
                    Duration::from_millis(self.world.retry_ms),
                    Duration::from_millis(self.world.retry_max_ms),
                );
                known.plan += 1;
                let (repository, plan) = (id.clone(), known.plan);
                self.jobs.spawn(async move {
                    tokio::time::sleep(wait).await;
                    Finished::Retry { repository, plan }
                });
                self.converge_repository(id, false);
            }
        }
        self.fetch(id);
    }

    fn converge_repository(&mut self, id: &Id, fresh: bool) {
        let of = |(_, built): &(&Id, &Built)| built.document.repository_id == **id;
        let drivers: Vec<Id> = self.drivers.iter().filter(of).map(|(id, _)| id.clone()).collect();
        for driver in drivers {
            if let Some(built) = self.drivers.get_mut(&driver)
                && fresh
            {
                built.failed.take_if(|(_, refusal)| refusal.of_repository);
            }
            self.converge(&driver);
        }
    }

    // --- drivers ---

    /// Looks at what a driver should be built from, and does the next step.
    fn converge(&mut self, id: &Id) {
        let Some(built) = self.drivers.get_mut(id) else { return };
        let repository: Id = built.document.repository_id.as_str().into();
        let Some(known) = self.repositories.get(&repository) else {
            return self.show(id, Some(format!("there is no repository {repository}")));
        };
        let revision = built.document.commit.trim();
        let revision = revision.strip_prefix(RECOMPILE).unwrap_or(revision);
        let revision = match (revision, &known.deployed) {
            ("" | HEAD, Some(deployed)) => deployed.clone(),
            // Once the repository is fetched we are back here.
            ("" | HEAD, None) => {
                let problem = known.problem.clone();
                return self.show(id, problem);
            }
            (revision, _) => revision.to_owned(),
        };
        let recipe = Recipe { repository, file_name: built.document.file_name.clone(), revision };
        if built.building.is_some() {
            // Another recipe is looked at when this build is through.
            return;
        }
        let done = built.made_of.as_ref() == Some(&recipe)
            || built.failed.as_ref().is_some_and(|(failed, _)| *failed == recipe);
        if done && !built.force {
            let problem = built.failed.as_ref().filter(|(failed, _)| *failed == recipe);
            let problem = problem.map(|(_, refusal)| refusal.text.clone());
            return self.show(id, problem);
        }
        let force = std::mem::take(&mut built.force);
        if !force
            && let Some(artifact) =
                self.world.repositories.artifact(&recipe.repository, &recipe.file_name, &recipe.revision)
        {
            return self.built(id, recipe, false, Ok(artifact));
        }
        let source = match known.source(&self.world.vault) {
            Ok(source) => source,
            Err(text) => {
                return self.built(id, recipe, force, Err(Refusal { text, of_repository: true }));
            }
        };
        built.building = Some(recipe.clone());
        let (repositories, driver) = (self.world.repositories.clone(), id.clone());
        self.jobs.spawn(async move {
            let result = job::build(repositories, source, recipe.clone(), force).await;
            Finished::Built { driver, recipe, forced: force, result }
        });
        self.show(id, None);
    }

    fn built(&mut self, id: &Id, recipe: Recipe, forced: bool, result: Result<Artifact, Refusal>) {
        let Some(built) = self.drivers.get_mut(id) else { return };
        built.building = None;
        let output = result.as_ref().err().map(|refusal| refusal.text.clone());
        let _ = self.records.send(Record::Compiled(id.to_string(), output));
        match result {
            Ok(artifact) => {
                built.failed = None;
                let same = !forced && built.made_of.as_ref() == Some(&recipe);
                built.made_of = Some(recipe);
                if !same {
                    let program = self.program(id, artifact);
                    tracing::info!(driver = %id, commit = %program.commit, "driver is ready");
                    self.shown.entry(id.clone()).or_default().program = Some(program);
                }
            }
            Err(refusal) => {
                tracing::warn!(driver = %id, error = %refusal.text, "driver not built");
                built.failed = Some((recipe, refusal));
            }
        }
        // Meanwhile another commit may have become the one to use.
        self.converge(id);
    }

    /// The program of an artifact: the one that is run already, if there is one.
    fn program(&mut self, id: &Id, artifact: Artifact) -> Arc<Program> {
        self.programs.retain(|program| program.strong_count() > 0);
        let known = self.programs.iter().filter_map(Weak::upgrade).find(|program| {
            program.driver == *id
                && program.executable == artifact.executable
                && program.built_at == artifact.built_at
        });
        known.unwrap_or_else(|| {
            let program = Arc::new(Program::new(id.clone(), artifact));
            self.programs.push(Arc::downgrade(&program));
            program
        })
    }

    /// Publishes what is known of a driver, and answers those who wait if there is nothing more to wait for.
    fn show(&mut self, id: &Id, problem: Option<String>) {
        let Some(built) = self.drivers.get_mut(id) else { return };
        let mut shown = self.shown.entry(id.clone()).or_default();
        shown.view = DriverView {
            compiled: shown.program.is_some(),
            commit: shown.program.as_ref().map(|program| program.commit.clone()),
            building: built.building.is_some(),
            output: problem.clone(),
        };
        let view = shown.view.clone();
        drop(shown);
        let settled = built.building.is_none() && (problem.is_some() || built.made_of.is_some());
        if settled {
            for answer in std::mem::take(&mut built.waiting) {
                let _ = answer.send(match &problem {
                    Some(problem) => Err(Error::Failed(problem.clone())),
                    None => Ok(view.clone()),
                });
            }
        }
        self.tell(id);
    }

    fn tell(&self, id: &Id) {
        let _ = self.world.events.send(Event::DriverChanged { driver: id.clone() });
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Fetched { repository, result } => self.fetched(&repository, result),
            Finished::Built { driver, recipe, forced, result } => self.built(&driver, recipe, forced, result),
            Finished::Retry { repository, plan } => {
                if let Some(known) = self.repositories.get_mut(&repository)
                    && known.plan == plan
                {
                    known.again = true;
                    self.fetch(&repository);
                }
            }
        }
    }
}

fn not_found(kind: &'static str, id: &Id) -> Error {
    Error::NotFound { kind, id: id.to_string() }
}
