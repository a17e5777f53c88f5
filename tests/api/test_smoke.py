def test_it(program):
    print(program.get(""))
    print(program.get("visualizations"))
    print(program.get("visualizations/occlusion"))
    print(program.get("models"))
    run = program.start()
    print(run)
    print(program.get(f"runs/{run['id']}"))
    print(program.get("runs"))
    spec = program.get("openapi.json")
    import json
    open("/tmp/w/s7/openapi.json", "w").write(json.dumps(spec, indent=1))
    page = program.ask("GET", "docs")
    open("/tmp/w/s7/rest.html", "w").write(page.text)
