"""tools/farm: what the render farms' files make of a list of shots is a command line that this add-on understands."""

import json
from pathlib import Path

import openjd.model as openjd
import quickjs
from da3_blender.core.settings import BatchMode
from da3_blender.operators.command_line.arguments import parse

FARM = Path(__file__).resolve().parents[2] / "tools" / "farm"
AUTHOR = """
const tasks = [];
const author = {
    Task: (name, type) => ({ name, type, commands: [], addCommand(command) { this.commands.push(command); } }),
    Command: (name, parameters) => ({ name, parameters }),
};
function compiled(settings) {
    compileJob({ settings, addTask: (task) => tasks.push(task) });
    return JSON.stringify(tasks);
}
"""


def given(words):
    assert words[:2] == ["--command", "da3"]
    return parse(words[2:])


def test_flamenco_gets_a_task_for_each_few_shots():
    context = quickjs.Context()  # with Flamenco's ``author`` as its documentation has it
    context.eval((FARM / "da3_generate.js").read_text("utf-8") + AUTHOR)
    about = json.loads(context.eval("JSON.stringify(JOB_TYPE.settings)"))
    chosen = {one["key"]: one.get("default", "") for one in about}
    assert {one["type"] for one in about} <= {"string", "int32", "float", "bool"}
    chosen |= {"inputs": "/shared/my shots.csv", "shots": 5, "chunk_size": 2, "skip_done": True}
    chosen["arguments"] = '--batch-mode da3_streaming --output-folder "/shared/a place" --detect-motion'
    tasks = json.loads(context.eval(f"compiled({json.dumps(chosen)})"))
    assert [task["name"] for task in tasks] == ["shots-1-2", "shots-3-4", "shots-5"]
    assert {task["type"] for task in tasks} == {"blender"}
    for task, only in zip(tasks, ("1-2", "3-4", "5"), strict=True):
        (command,) = task["commands"]
        assert (command["name"], command["parameters"]["exe"]) == ("exec", "{blender}")
        words = given(command["parameters"]["args"])
        assert (str(words.inputs), words.only, words.skip_done) == ("/shared/my shots.csv", only, True)
        assert (words.setting_batch_mode, words.setting_output_folder) == ("da3_streaming", "/shared/a place")
        assert words.setting_detect_motion == "on"


def test_open_job_description_has_a_task_for_each_shot():
    text = (FARM / "da3_generate.yaml").read_text("utf-8")
    template = openjd.decode_job_template(template=openjd.document_string_to_object(
        document=text, document_type=openjd.DocumentType.YAML
    ))  # fmt: skip
    values = {"Inputs": "/shared/shots.csv", "Shots": "3"}
    parameters = openjd.preprocess_job_parameters(
        job_template=template, job_parameter_values=values, job_template_dir=FARM, current_working_dir=FARM,
    )  # fmt: skip
    job = openjd.create_job(job_template=template, job_parameter_values=parameters)
    (step,) = job.steps
    tasks = list(openjd.StepParameterSpaceIterator(space=step.parameterSpace))
    assert [task["Shot"].value for task in tasks] == ["1", "2", "3"]
    filled = {"{{Param.Inputs}}": values["Inputs"], "{{Task.Param.Shot}}": "2", "{{Param.BatchMode}}": "automatic"}
    words = given([filled.get(str(word), str(word)) for word in step.script.actions.onRun.args])
    assert (str(words.inputs), words.only, words.skip_done) == ("/shared/shots.csv", "2", True)
    assert BatchMode(words.setting_batch_mode) is BatchMode.AUTOMATIC
