"""Facet keys among the search words begin with "=", so that no word of a search is the beginning of one ("lib", "size").

Orders by documentation, and the archived models, get an index.
"""

import django.db.models.expressions
from django.db import migrations, models

FUNCTION = r"""
CREATE OR REPLACE FUNCTION public.catalog_search(
    slug text, title text, author text, meaning text, tags text[], card_words tsvector,
    modality text, task text, library text, licence text, licence_family text, architecture text, parameters bigint,
    formats text[], relation text, languages text[], documentation_level text, safety text, is_analysed boolean
) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    -- "MobileNetV2-resnet18" is found by mobilenetv2, mobile, net, v2, resnet18 and resnet.
    names text := translate(CASE WHEN title = slug THEN slug ELSE slug || ' ' || title || ' ' || author END, '-_./:~+@', '        ');
    kinds text := translate(modality || ' ' || task || ' ' || library || ' ' || architecture, '-_./:', '     ');
    named text := names || ' ' || regexp_replace(names, '([a-z])([0-9])', '\1 \2', 'g');
BEGIN
    named := named || ' ' || regexp_replace(names || ' ' || kinds, '([a-z0-9])([A-Z])', '\1 \2', 'g');
    RETURN setweight(to_tsvector('pg_catalog.simple', named), 'A')
        || setweight(to_tsvector('pg_catalog.simple',
            kinds || ' ' || translate(array_to_string(tags, ' '), '-_./:', '     ')), 'B')
        || setweight(to_tsvector('pg_catalog.english', meaning), 'C')
        || coalesce(card_words, ''::tsvector)
        || array_to_tsvector(string_to_array('=' || array_to_string(public.catalog_facets(modality, task, library, licence,
            licence_family, architecture, parameters, formats, relation, languages, documentation_level, safety,
            is_analysed), E'\x1f='), E'\x1f'));
END $$;
"""
# Writing a column that `search` is made of makes it anew.
RENEW = "UPDATE catalog_model SET slug = slug"


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0002_hub_scale'),
    ]

    operations = [
        migrations.RunSQL(FUNCTION, migrations.RunSQL.noop),
        migrations.RunSQL(RENEW, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='model',
            index=models.Index(
                django.db.models.expressions.OrderBy(models.F('documentation_points'), descending=True, nulls_last=True),
                models.F('slug'),
                name='model_by_documentation',
            ),
        ),
        migrations.AddIndex(
            model_name='model',
            index=models.Index(
                fields=['archived_at'], condition=models.Q(('archived_at__isnull', False)), name='model_archived'
            ),
        ),
    ]
