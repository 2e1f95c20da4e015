// SPDX-License-Identifier: GPL-3.0-or-later
// A job type for Flamenco 3: shots of a list (docs/farm.md), some for each task. Put it into the folder "scripts" beside the Manager.

const JOB_TYPE = {
    label: "DA3 Generate",
    description: "Scenes from images and videos, by the add-on Depth Anything 3",
    settings: [
        { key: "inputs", type: "string", subtype: "file_path", required: true,
          description: "The list of shots, a CSV file that all workers see" },
        { key: "shots", type: "int32", default: 1, propargs: { min: 1 },
          description: "How many shots it has" },
        { key: "chunk_size", type: "int32", default: 1, propargs: { min: 1 }, visible: "submission",
          description: "Shots of one task: they share one loaded model" },
        { key: "skip_done", type: "bool", default: true,
          description: "Pass over shots whose files are there" },
        { key: "arguments", type: "string", required: false,
          description: "Further words of 'generate' for all shots, as: --batch-mode da3_streaming" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const size = Math.max(1, settings.chunk_size);
    for (let first = 1; first <= settings.shots; first += size) {
        const last = Math.min(first + size - 1, settings.shots);
        const only = first === last ? `${first}` : `${first}-${last}`;
        const task = author.Task(`shots-${only}`, "blender");
        task.addCommand(author.Command("exec", {
            exe: "{blender}",
            args: ["--command", "da3", "generate", "--inputs", settings.inputs, "--only", only]
                .concat(settings.skip_done ? ["--skip-done"] : [], words(settings.arguments || "")),
        }));
        job.addTask(task);
    }
}

// Words between spaces; one with spaces in it has quotation marks around it.
function words(text) {
    return (text.match(/"[^"]*"|[^\s"]+/g) || []).map((word) => word.replace(/^"|"$/g, ""));
}
