"""Pages of a run whose classes were named: they still say what the model itself says."""

from __future__ import annotations

from browsing import Visitor


def test_a_result_and_a_comparison_say_what_the_model_says(visitor: Visitor) -> None:
    image = visitor.add("a.png", 1)
    best = visitor.start("occlusion", image, window=14, stride=14)
    (first, *_, last) = visitor.services.store.manifest(best)["results"][0]["maps"]
    named = visitor.start("occlusion", image, window=14, stride=14, named=last["label"])
    says = f"The model says {first['label']} ("
    assert says in visitor.page(f"/runs/{named.id}/").text
    assert says not in visitor.page(f"/runs/{best.id}/").text
    page = visitor.page(f"/compare?run={named.id}")
    assert f"Model says{first['label']} " in page.text
    assert page.all("picasso-map")[0]["label"] == first["label"]  # the best class, whose map occlusion has too
    assert (
        visitor.page(f"/compare?run={named.id}&class={last['label']}").all("picasso-map")[0]["label"] == last["label"]
    )


def test_a_class_that_the_model_has_not_stands_at_its_field(visitor: Visitor) -> None:
    page = visitor.page("/visualizations/saliency?named=elk", status=422)
    assert "The model has no class 'elk'" in page.text
