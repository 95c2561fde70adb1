//! Create, show, change, delete and list, once for all resources; what differs is in [`Managed`].

use serde_json::{Map, Value};

use super::{
    State,
    draft::{self, Draft, Lock},
    error::{Error, Result},
    http::{page::Page, query::Query, search::Search},
    now,
};
use crate::{
    model::{self, Failure, Resource},
    store::typed,
};

/// What the API has to know of a resource beyond the model's own rules.
pub(crate) trait Managed: Resource {
    /// Its table in `Content-Range`.
    const TABLE: &'static str;
    /// Whether writing one excludes all other writes: it has something unique.
    const LOCK: Lock;

    /// The fields that `q` searches.
    fn searched(&self) -> Vec<&str>;

    /// The field that must be unique; writes of such resources are exclusive.
    const UNIQUE: &'static str = "";

    /// A text that whatever it clashes with holds too: the unique one, say.
    fn telltale(&self) -> &str {
        ""
    }

    /// Would it and another one clash in that field?
    fn clashes(&self, other: &Self) -> bool {
        self.telltale().trim() == other.telltale().trim()
    }

    /// What lists are sorted by, before the id.
    fn order(&self) -> (&str, &str);

    /// A new id.
    fn fresh_id(&self) -> String {
        model::id::new(Self::PREFIX)
    }

    /// Before the model's own rules: copies what comes from other documents, and checks them.
    fn prepare(
        _: &mut Draft,
        _: Option<&Self>,
        _: &mut Self,
    ) -> impl Future<Output = Result<Vec<Failure>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// After the rules were kept: what else changes with it.
    fn effects(_: &mut Draft, _: Option<&Self>, _: &mut Self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// What goes with it when it is deleted.
    fn cascade(_: &mut Draft, _: &Self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// Creates a resource from a body.
pub(crate) async fn create<R: Managed>(state: &State, body: &Map<String, Value>) -> Result<R> {
    create_with(state, body, |_| Ok(())).await
}

/// Creates a resource; `adjust` sees it before the rules do.
pub(crate) async fn create_with<R: Managed>(
    state: &State,
    body: &Map<String, Value>,
    adjust: impl Fn(&mut R) -> Result<()> + Send + Sync,
) -> Result<R> {
    let adjust = &adjust;
    let (value, _) = draft::write(state, R::LOCK, |mut draft| async move {
        let mut value: R = model::patch(None, body).map_err(refused)?;
        let at = now();
        value.stamp(value.fresh_id(), at, at);
        adjust(&mut value)?;
        settle(&mut draft, None, &mut value).await?;
        Ok((draft, value))
    })
    .await?;
    Ok(value)
}

/// Changes a resource; `adjust` sees before and after, before the rules do.
pub(crate) async fn update<R: Managed>(
    state: &State,
    id: &str,
    body: &Map<String, Value>,
    adjust: impl Fn(&R, &mut R) -> Result<()> + Send + Sync,
) -> Result<(R, u64)> {
    let adjust = &adjust;
    draft::write(state, R::LOCK, |mut draft| async move {
        let before: R = draft.require(id).await?;
        let mut after = model::patch(Some(&before), body).map_err(refused)?;
        adjust(&before, &mut after)?;
        revise(&mut draft, &before, &mut after).await?;
        Ok((draft, after))
    })
    .await
}

/// Stamps and writes a changed resource with all that follows from it.
pub(crate) async fn revise<R: Managed>(draft: &mut Draft, before: &R, after: &mut R) -> Result<()> {
    after.stamp(before.id().to_owned(), created_at(before), now());
    settle(draft, Some(before), after).await
}

/// Deletes a resource and what goes with it.
pub(crate) async fn delete<R: Managed>(state: &State, id: &str) -> Result<()> {
    draft::write(state, Lock::Exclusive, |mut draft| async move {
        let value: R = draft.require(id).await?;
        remove(&mut draft, &value).await?;
        Ok((draft, ()))
    })
    .await?;
    Ok(())
}

/// Deletes a resource in a draft, with what goes with it.
pub(crate) async fn remove<R: Managed>(draft: &mut Draft, value: &R) -> Result<()> {
    draft.delete::<R>(value.id());
    R::cascade(draft, value).await
}

/// One resource that must be there.
pub(crate) async fn show<R: Resource>(state: &State, id: &str) -> Result<R> {
    let stored = typed::find::<R>(state.store(), id).await?;
    stored.map(|stored| stored.value).ok_or_else(|| Error::missing(&R::KIND.to_string(), id))
}

/// All resources of a kind.
pub(crate) async fn all<R: Resource>(state: &State) -> Result<Vec<R>> {
    Ok(typed::all::<R>(state.store()).await?.into_iter().map(|stored| stored.value).collect())
}

/// The page of a list that a query asks for: filtered, searched, sorted, cut. With the total.
pub(crate) async fn list<R: Managed>(
    state: &State,
    query: &Query,
    keep: impl Fn(&R) -> bool,
) -> Result<(Page, Vec<R>, usize)> {
    let page = Page::of(query)?;
    let search = Search::parse(query.get("q"));
    let mut found: Vec<R> = all(state).await?;
    found.retain(|item| keep(item) && search.matches(item.searched()));
    sort(&mut found);
    let (items, total) = page.cut(found);
    Ok((page, items, total))
}

/// Sorts as lists are.
pub(crate) fn sort<R: Managed>(items: &mut [R]) {
    items.sort_by(|a, b| (a.order(), a.id()).cmp(&(b.order(), b.id())));
}

async fn settle<R: Managed>(draft: &mut Draft, before: Option<&R>, after: &mut R) -> Result<()> {
    let mut failures = R::prepare(draft, before, after).await?;
    after.normalize();
    failures.extend(after.validate());
    if failures.is_empty() {
        failures = unique(draft, after).await?;
    }
    if !failures.is_empty() {
        return Err(Error::Invalid(failures));
    }
    R::effects(draft, before, after).await?;
    draft.put(after)
}

async fn unique<R: Managed>(draft: &mut Draft, value: &R) -> Result<Vec<Failure>> {
    if R::UNIQUE.is_empty() {
        return Ok(Vec::new());
    }
    let clashes = |other: &R| other.id() != value.id() && other.clashes(value);
    let twins = draft.holding::<R>(value.telltale(), clashes).await?;
    Ok(if twins.is_empty() { Vec::new() } else { vec![Failure::new(R::UNIQUE, model::UNIQUE)] })
}

/// What a body is refused with.
pub(crate) fn refused(error: model::patch::Error) -> Error {
    match error {
        model::patch::Error::Type { .. } => Error::BadRequest(error.to_string()),
        model::patch::Error::Invalid(failures) => Error::Invalid(failures),
    }
}

fn created_at<R: Resource>(value: &R) -> i64 {
    serde_json::to_value(value).ok().and_then(|value| value.get("created_at")?.as_i64()).unwrap_or_default()
}

/// A resource as it looks on the wire.
pub(crate) fn wire<R: Resource>(value: &R) -> Result<Map<String, Value>> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) | Err(_) => Err(Error::Internal(format!("{} {} is no JSON object", R::KIND, value.id()))),
    }
}
