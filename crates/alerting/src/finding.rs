/// One value that an expression has, and what tells it from the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// What the description names, if its rule has [`Names`](crate::Names).
    pub names: Vec<String>,
}

/// What a look at a rule's expression found.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Nobody could tell: what the expression looks at is missing.
    Unknown,
    /// What the expression has; nothing: all is well.
    Values(Vec<Reading>),
}
