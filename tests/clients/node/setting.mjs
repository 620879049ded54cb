// The server under test, as the environment names it.

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};

export const openaiUrl = setting("ORRERY_OPENAI_URL");
export const otherOpenaiUrl = setting("ORRERY_OTHER_OPENAI_URL");
export const limitedOpenaiUrl = setting("ORRERY_LIMITED_OPENAI_URL");
export const key = setting("ORRERY_KEY");
export const limitedKey = setting("ORRERY_LIMITED_KEY");
export const widgetUrl = setting("ORRERY_WIDGET_URL");
export const widgetKey = setting("ORRERY_WIDGET_KEY");
