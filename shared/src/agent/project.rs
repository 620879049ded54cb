//! A project's document: which agents work together, and who of them answers first.

use super::error::{DocumentError, Problems};
use super::field::{Field, Group};
use super::parse::{MOST_DOCUMENT, agent_name, each, split};
use super::yaml;

/// The most agents of a project.
pub const MOST_AGENTS: usize = 32;
const FIELDS: &[&str] = &["project", "entry", "agents", "pause_on_escalation"];

/// A project's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectDocument {
    /// Its name within the tenant, spelt as an agent's.
    pub name: String,
    /// The name of the agent that answers first.
    pub entry: String,
    /// The names of its agents; where none stand there, they are those of the documents beside it.
    pub agents: Option<Vec<String>>,
    /// Whether a conversation stops to be answered once it was handed to a person.
    pub pause_on_escalation: bool,
}

impl ProjectDocument {
    /// Reads a project's document: YAML between two lines `---`, then notes for people.
    ///
    /// # Errors
    /// With every problem of the document, each with its line and field.
    pub fn parse(source: &str) -> Result<Self, DocumentError> {
        if source.len() > MOST_DOCUMENT {
            let message = format!("the document has {} bytes; it may have {MOST_DOCUMENT} (300 KB)", source.len());
            return Err(DocumentError::one(1, "", message));
        }
        let head = yaml::read(&split(source)?.head, 1)?;
        let mut problems = Problems::default();
        let document = Field::root(&head).group(FIELDS, &mut problems).and_then(|head| read(&head, &mut problems));
        problems.settle(document)
    }
}

fn read(head: &Group<'_>, problems: &mut Problems) -> Option<ProjectDocument> {
    let name = head.required("project", "the project's name, for example shop", problems);
    let name = name.and_then(|field| agent_name(&field, problems));
    let entry = head.required("entry", "the name of the agent that answers first", problems);
    let entry = entry.and_then(|field| agent_name(&field, problems));
    let agents = head.field("agents").is_some().then(|| each(head, "agents", MOST_AGENTS, problems, agent_name));
    let pause_on_escalation = head.field("pause_on_escalation").and_then(|field| field.truth(problems));
    Some(ProjectDocument {
        name: name?,
        entry: entry?,
        agents,
        pause_on_escalation: pause_on_escalation.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_names_its_entry_and_its_agents() {
        let source =
            "---\nproject: shop\nentry: support\nagents: [support, billing]\npause_on_escalation: true\n---\nNotes";
        let expected = ProjectDocument {
            name: "shop".into(),
            entry: "support".into(),
            agents: Some(vec!["support".into(), "billing".into()]),
            pause_on_escalation: true,
        };
        assert_eq!(ProjectDocument::parse(source).unwrap(), expected);
        let brief = ProjectDocument::parse("---\nproject: shop\nentry: support\n---\n").unwrap();
        assert_eq!((brief.agents, brief.pause_on_escalation), (None, false));
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line() {
        let told = ProjectDocument::parse("---\nproject: Shop\nagents: [support, 7]\nentri: support\n---\n");
        let told = told.unwrap_err().to_string();
        for problem in ["line 2: project: ", "line 3: agents[1]: ", "line 4: entri: unknown field", "entry: "] {
            assert!(told.contains(problem), "{told}");
        }
    }
}
