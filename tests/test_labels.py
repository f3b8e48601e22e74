from affetto import labels


def test_categories_are_sorted_lower_case_and_unique():
    assert list(labels.CATEGORIES) == sorted({category.lower() for category in labels.CATEGORIES})


def test_every_synonym_leads_to_a_category():
    for word, category in labels.SYNONYMS.items():
        assert word not in labels.CATEGORIES
        assert labels.canonical(f" {word.upper()} ") == category
        assert category in labels.CATEGORIES


def test_canonical_names_stay_themselves():
    assert tuple(labels.canonical(category) for category in labels.CATEGORIES) == labels.CATEGORIES


def test_a_class_of_ones_own_is_kept():
    assert labels.canonical("  Sarcasm ") == "sarcasm"
