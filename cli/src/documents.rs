//! Documents in files: agents', and projects' with the agents beside them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use shared::agent::{AgentDocument, MOST_AGENTS, ProjectDocument};

/// The most documents that are read at once.
const MOST_DOCUMENTS: usize = 1_000;
/// The name of a project's document.
const PROJECT: &str = "project.md";
/// The most bytes that are read of a file; a document has fewer.
const MOST_BYTES: u64 = 1_000_000;

/// A document and its file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) source: String,
    pub(crate) document: AgentDocument,
}

/// A project's document and its file.
#[derive(Debug)]
pub(crate) struct FoundProject {
    pub(crate) path: PathBuf,
    pub(crate) source: String,
    pub(crate) document: ProjectDocument,
    /// The names of its agents, the one that answers first at the front.
    pub(crate) agents: Vec<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) agents: Vec<Found>,
    pub(crate) projects: Vec<FoundProject>,
}

/// Documents that cannot be used: all that is wrong, one problem a line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DocumentsError(String);

/// Reads documents, and those of directories (`*.md`), in the order of their paths; a directory within one counts where it
/// has a `project.md`. Everything is checked: the error tells all problems of all files.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Documents, DocumentsError> {
    let mut problems = Vec::new();
    let mut found = Documents::default();
    let (projects, agents): (Vec<_>, Vec<_>) =
        files(paths, &mut problems).into_iter().partition(|path| is_project(path));
    let mut tell = |path: &Path, told: String| {
        problems.extend(told.lines().map(|line| format!("{}: {line}", path.display())));
    };
    for path in agents {
        match read_agent(&path) {
            Ok(document) => found.agents.push(document),
            Err(told) => tell(&path, told),
        }
    }
    for path in projects {
        match read_project(&path, &found.agents) {
            Ok(document) => found.projects.push(document),
            Err(told) => tell(&path, told),
        }
    }
    unique(&found.agents, &mut problems);
    let mut names: BTreeMap<&str, &Path> = BTreeMap::new();
    for FoundProject { path, document, .. } in &found.projects {
        if let Some(first) = names.insert(&document.name, path) {
            let (path, first, name) = (path.display(), first.display(), &document.name);
            problems.push(format!("{path}: project: {name} is the name of the project in {first} too"));
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(DocumentsError(problems.join("\n"))) }
}

fn is_project(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == PROJECT)
}

fn unique(found: &[Found], problems: &mut Vec<String>) {
    let mut names: BTreeMap<&str, &Path> = BTreeMap::new();
    for Found { path, document, .. } in found {
        if let Some(first) = names.insert(&document.name, path) {
            let (path, first, name) = (path.display(), first.display(), &document.name);
            problems.push(format!("{path}: name: {name} is the name of the agent in {first} too"));
        }
    }
}

fn read_source(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MOST_BYTES {
        return Err(format!("has {size} bytes; a document has at most 300 KB"));
    }
    fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

/// Reads a project's document. Its agents, where it does not name them, are those beside it.
fn read_project(path: &Path, found: &[Found]) -> Result<FoundProject, String> {
    let source = read_source(path)?;
    let document = ProjectDocument::parse(&source).map_err(|error| error.to_string())?;
    let beside = || {
        let inside = found.iter().filter(|agent| agent.path.parent() == path.parent());
        inside.map(|agent| agent.document.name.clone()).collect()
    };
    let mut agents: Vec<String> = document.agents.clone().unwrap_or_else(beside);
    agents.retain(|name| *name != document.entry);
    agents.insert(0, document.entry.clone());
    if agents.len() > MOST_AGENTS {
        return Err(format!("a project has at most {MOST_AGENTS} agents; this one has {}", agents.len()));
    }
    Ok(FoundProject { path: path.to_owned(), source, document, agents })
}

fn read_agent(path: &Path) -> Result<Found, String> {
    let source = read_source(path)?;
    let document = AgentDocument::parse(&source).map_err(|error| error.to_string())?;
    Ok(Found { path: path.to_owned(), source, document })
}

fn files(paths: &[PathBuf], problems: &mut Vec<String>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match directory(path) {
            Ok(inside) if inside.is_empty() => problems.push(format!("{}: no *.md in this directory", path.display())),
            Ok(inside) => files.extend(inside),
            Err(error) => problems.push(format!("{}: cannot be read: {error}", path.display())),
        }
    }
    files.dedup();
    if files.len() > MOST_DOCUMENTS {
        problems.push(format!("{} documents are too many; at most {MOST_DOCUMENTS}", files.len()));
        files.clear();
    }
    files
}

fn directory(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_document = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        path.is_file() && name.ends_with(".md") && !name.starts_with('.') && !name.eq_ignore_ascii_case("readme.md")
    };
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let (documents, others): (Vec<_>, Vec<_>) =
        entries.collect::<Result<Vec<_>, _>>()?.into_iter().partition(is_document);
    let mut inside = documents;
    for project in others.iter().filter(|path| path.join(PROJECT).is_file()) {
        inside.extend(directory(project)?);
    }
    inside.sort();
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_directory_gives_its_documents_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            write(directory.path(), &format!("{name}.md"), &format!("---\nname: {name}\nmodel: demo/echo\n---\n"));
        }
        write(directory.path(), "README.md", "About these agents");
        write(directory.path(), "notes.txt", "x");
        let found = read(&[directory.path().to_owned()]).unwrap();
        let names: Vec<_> = found.agents.iter().map(|found| found.document.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_directory_with_a_project_is_one_of_its_agents() {
        let directory = tempfile::tempdir().unwrap();
        let shop = directory.path().join("shop");
        fs::create_dir(&shop).unwrap();
        fs::create_dir(directory.path().join("notes")).unwrap();
        for name in ["billing", "support"] {
            write(&shop, &format!("{name}.md"), &format!("---\nname: {name}\nmodel: demo/echo\n---\n"));
        }
        write(directory.path(), "alone.md", "---\nname: alone\nmodel: demo/echo\n---\n");
        write(&shop, "project.md", "---\nproject: shop\nentry: support\n---\n");
        let found = read(&[directory.path().to_owned()]).unwrap();
        assert_eq!((found.agents.len(), found.projects.len()), (3, 1));
        assert_eq!(found.projects[0].agents, ["support", "billing"]);
    }

    #[test]
    fn the_problems_of_all_files_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let bad = write(directory.path(), "bad.md", "---\nname: Bad\nmodel: x\n---\n");
        let one = write(directory.path(), "one.md", "---\nname: same\nmodel: demo/echo\n---\n");
        let two = write(directory.path(), "two.md", "---\nname: same\nmodel: demo/echo\n---\n");
        let told = read(&[bad, one, two, directory.path().join("missing.md")]).unwrap_err().to_string();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert!(lines[0].contains("bad.md: line 2: name: may have"), "{told}");
        assert!(lines[1].contains("bad.md: line 3: model: a model is written provider/model"), "{told}");
        assert!(lines[2].contains("missing.md: cannot be read"), "{told}");
        assert!(lines[3].contains("two.md: name: same is the name of the agent in"), "{told}");
    }
}
