/** The types of nodes that there are (RULES R12). */
export const types = ["shell", "python", "sql", "http", "check", "integration", "logical_dimension", "logical_fact", "logical_aggregate", "virtual"];
