const response = await fetch("https://kopern.ai/api/widget/chat?key=kpn_your_key", {
method: "POST",
headers: { "Content-Type": "application/json" },
body: JSON.stringify({
message: "Hello!",
history: []
}),
});
const reader = response.body.getReader();
const decoder = new TextDecoder();
let buffer = "";
while (true) {
const { done, value } = await reader.read();
if (done) break;
buffer += decoder.decode(value, { stream: true });
const lines = buffer.split("\n");
buffer = lines.pop() || "";
for (const line of lines) {
if (!line.startsWith("data: ")) continue;
const json = JSON.parse(line.slice(6));
switch (json.type || Object.keys(json)[0]) {
case "token":
process.stdout.write(json.data?.text || "");
break;
case "done":
console.log("\nDone:", json.data?.metrics);
break;
case "error":
console.error("Error:", json.data?.message);
break;
}
}
}
