//! Agents' documents in files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use shared::agent::AgentDocument;

/// The most documents that are read at once.
const MOST_DOCUMENTS: usize = 1_000;
/// The most bytes that are read of a file; a document has fewer.
const MOST_BYTES: u64 = 1_000_000;

/// A document and its file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) source: String,
    pub(crate) document: AgentDocument,
}

/// Documents that cannot be used: all that is wrong, one problem a line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DocumentsError(String);

/// Reads documents, and those of directories (`*.md`), in the order of their paths. Everything is checked: the error
/// tells all problems of all files.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Found>, DocumentsError> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for path in files(paths, &mut problems) {
        match read_one(&path) {
            Ok(document) => found.push(document),
            Err(told) => problems.extend(told.lines().map(|line| format!("{}: {line}", path.display()))),
        }
    }
    let mut names: BTreeMap<&str, &Path> = BTreeMap::new();
    for Found { path, document, .. } in &found {
        if let Some(first) = names.insert(&document.name, path) {
            let (path, first, name) = (path.display(), first.display(), &document.name);
            problems.push(format!("{path}: name: {name} is the name of the agent in {first} too"));
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(DocumentsError(problems.join("\n"))) }
}

fn read_one(path: &Path) -> Result<Found, String> {
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MOST_BYTES {
        return Err(format!("has {size} bytes; an agent's document has at most 300 KB"));
    }
    let source = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
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
    let mut inside: Vec<_> = entries.collect::<Result<_, _>>()?;
    inside.retain(is_document);
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
        let names: Vec<_> = found.iter().map(|found| found.document.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
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
