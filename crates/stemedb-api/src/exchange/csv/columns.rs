//! The columns.

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Subject,
    Predicate,
    Object,
    ObjectType,
    Source,
    Confidence,
    SourceClass,
    Author,
    ExcerptHash,
    Epoch,
    Lifecycle,
    ValidFrom,
    ValidTo,
    ObservedAt,
    Parents,
    Signatures,
    Id,
    Lsn,
    Ordinal,
    RecordedAt,
}

impl Column {
    /// Every column, in the order of an export.
    pub(super) const ALL: [Column; 20] = [
        Column::Subject,
        Column::Predicate,
        Column::Object,
        Column::ObjectType,
        Column::Source,
        Column::Confidence,
        Column::SourceClass,
        Column::Author,
        Column::ExcerptHash,
        Column::Epoch,
        Column::Lifecycle,
        Column::ValidFrom,
        Column::ValidTo,
        Column::ObservedAt,
        Column::Parents,
        Column::Signatures,
        Column::Id,
        Column::Lsn,
        Column::Ordinal,
        Column::RecordedAt,
    ];

    /// Those that a header must name.
    pub(super) const REQUIRED: [Column; 4] =
        [Column::Subject, Column::Predicate, Column::Object, Column::Source];

    /// Its name in the header.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Column::Subject => "subject",
            Column::Predicate => "predicate",
            Column::Object => "object",
            Column::ObjectType => "object_type",
            Column::Source => "source",
            Column::Confidence => "confidence",
            Column::SourceClass => "source_class",
            Column::Author => "author",
            Column::ExcerptHash => "excerpt_hash",
            Column::Epoch => "epoch",
            Column::Lifecycle => "lifecycle",
            Column::ValidFrom => "valid_from",
            Column::ValidTo => "valid_to",
            Column::ObservedAt => "observed_at",
            Column::Parents => "parents",
            Column::Signatures => "signatures",
            Column::Id => "id",
            Column::Lsn => "lsn",
            Column::Ordinal => "ordinal",
            Column::RecordedAt => "recorded_at",
        }
    }

    /// Its name as a JSON pointer, for what is said about a cell.
    pub(super) fn pointer(self) -> String {
        format!("/{}", self.name())
    }
}
